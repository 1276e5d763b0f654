//! Numbers of the request path: how many requests ended how, and how long they took.
//!
//! A family finds a counter by hashing its labels under a lock. That is more than the rest of what is counted for a request, so
//! what was found once is kept in a table, by route, method and the statuses that are answered often.

use std::array;
use std::sync::OnceLock;
use std::time::Duration;

use gantry_oci::{Endpoint, v1};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// What a request asked for: a row of the table of either API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Of V2.
    V2(Endpoint),
    /// Of v1.
    V1(v1::Endpoint),
}

impl Route {
    /// As metrics and logs have it.
    pub fn label(self) -> &'static str {
        match self {
            Route::V2(endpoint) => endpoint.label(),
            Route::V1(endpoint) => endpoint.label(),
        }
    }

    fn index(self) -> usize {
        match self {
            Route::V2(endpoint) => endpoint as usize,
            Route::V1(endpoint) => Endpoint::ALL.len() + endpoint as usize,
        }
    }

    /// In the order of [`Self::index`], if the tables are in that of their enumerations (a test holds it).
    fn all() -> impl Iterator<Item = Route> {
        let v1 = v1::Endpoint::ALL.into_iter().map(Route::V1);
        Endpoint::ALL.iter().copied().map(Route::V2).chain(v1)
    }
}

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The route, `None` for what is not part of the registry's APIs.
    pub route: Option<Route>,
    /// The method, one of the few that exist.
    pub method: &'static str,
    /// The status.
    pub status: u16,
    /// From the head of the request to the head of the answer.
    pub elapsed: Duration,
}

/// Methods of which counters are kept.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Statuses of which counters are kept.
const STATUSES: [u16; 8] = [200, 201, 202, 204, 206, 304, 401, 404];

/// All routes, and what is none.
const ROUTES: usize = Endpoint::ALL.len() + v1::Endpoint::ALL.len() + 1;

pub(super) struct Requests {
    counts: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    routes: [Row; ROUTES],
}

struct Row {
    label: &'static str,
    counts: [[OnceLock<Counter>; STATUSES.len()]; METHODS.len()],
    latency: OnceLock<Histogram>,
}

impl Row {
    fn new(route: Option<Route>) -> Self {
        let counts = array::from_fn(|_| array::from_fn(|_| OnceLock::new()));
        Self { label: route.map_or("other", Route::label), counts, latency: OnceLock::new() }
    }
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counts = Family::default();
        registry.register("http_requests", "Requests answered, by route, method and status", counts.clone());
        let latency = Family::new_with_constructor(buckets as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time from the head of a request to the head of its answer",
            Unit::Seconds,
            latency.clone(),
        );
        // What is no route comes last.
        let mut all = Route::all();
        let routes = array::from_fn(|_| Row::new(all.next()));
        Self { counts, latency, routes }
    }

    pub(super) fn answered(&self, outcome: &Outcome) {
        let index = outcome.route.map_or(ROUTES - 1, Route::index);
        let route = &self.routes[index];
        let method = METHODS.iter().position(|method| *method == outcome.method);
        let status = STATUSES.iter().position(|status| *status == outcome.status);
        let count = || {
            let Outcome { method, status, .. } = *outcome;
            self.counts.get_or_create_owned(&RequestLabels { route: route.label, method, status })
        };
        match method.zip(status) {
            Some((method, status)) => route.counts[method][status].get_or_init(count).inc(),
            None => count().inc(),
        };
        let latency = || self.latency.get_or_create_owned(&RouteLabels { route: route.label });
        route.latency.get_or_init(latency).observe(outcome.elapsed.as_secs_f64());
    }
}

fn buckets() -> Histogram {
    Histogram::new([
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_under_its_own_labels() {
        let mut registry = Registry::default();
        let requests = Requests::new(&mut registry);
        for (index, route) in Route::all().enumerate() {
            assert_eq!(route.index(), index);
        }
        let routes: Vec<Option<Route>> = Route::all().map(Some).chain([None]).collect();
        for route in routes.clone() {
            for (method, status) in [("GET", 200), ("HEAD", 200), ("GET", 404), ("GET", 418), ("OTHER", 200)]
            {
                for _ in 0..2 {
                    requests.answered(&Outcome { route, method, status, elapsed: Duration::ZERO });
                }
            }
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let counts = text.lines().filter(|line| line.starts_with("http_requests_total{"));
        assert_eq!(counts.clone().count(), ROUTES * 5, "{text}");
        assert!(counts.clone().all(|line| line.ends_with("} 2")), "{text}");
        for route in routes {
            let label = format!("{{route=\"{}\"}} 10", route.map_or("other", Route::label));
            assert!(text.contains(&format!("http_request_duration_seconds_count{label}")), "{label}: {text}");
        }
    }
}
