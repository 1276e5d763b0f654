//! What clients say of themselves in `User-Agent`, where it makes a difference: Docker in its versions. Nothing is allowed or refused
//! by it.

use gantry_oci::Accept;
use http::{HeaderMap, header};

/// What a client says of itself.
fn agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT)?.to_str().ok()
}

/// The version of Docker that a client says it is: of `docker/1.6.2 go/go1.4.2 ...` it is 1 and 6.
fn docker(agent: &str) -> Option<(u16, u16)> {
    let version = agent.split(' ').next()?.strip_prefix("docker/")?;
    let mut numbers = version.split(['.', '-', '+']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Which client makes a request of the v1 API, as a label: one of a few.
pub(crate) fn client(headers: &HeaderMap) -> &'static str {
    const DOCKER_1: [&str; 14] = [
        "docker/1.0",
        "docker/1.1",
        "docker/1.2",
        "docker/1.3",
        "docker/1.4",
        "docker/1.5",
        "docker/1.6",
        "docker/1.7",
        "docker/1.8",
        "docker/1.9",
        "docker/1.10",
        "docker/1.11",
        "docker/1.12",
        "docker/1.13",
    ];
    let Some(agent) = agent(headers) else { return "other" };
    match docker(agent) {
        Some((0, _)) => "docker/0",
        Some((1, minor)) => DOCKER_1.get(usize::from(minor)).copied().unwrap_or("other"),
        Some(_) => "docker/17+",
        None if agent.starts_with("containers/") => "containers",
        None => "other",
    }
}

/// What is kept of it, in bytes.
const KEPT: usize = 256;

/// What is kept of what a client says of itself.
pub(crate) fn kept(headers: &HeaderMap) -> &str {
    // Text of a header is ASCII.
    agent(headers).map(|agent| agent.get(..KEPT).unwrap_or(agent)).unwrap_or_default()
}

/// The word behind `NAME/` in what a client said of itself.
pub(crate) fn word<'a>(agent: &'a str, name: &str) -> Option<&'a str> {
    let found = agent.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('/'));
    found.filter(|word| !word.is_empty())
}

/// Whether a client is a Docker that pulls by V2 and knows schema 1 alone, and did not ask for what there is. It goes on with v1 when
/// it is told that there is nothing.
pub(crate) fn cannot_read(headers: &HeaderMap, media_type: &str) -> bool {
    let Some((1, 5..=9)) = agent(headers).and_then(docker) else { return false };
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let accept = Accept::from_lines(lines);
    !accept.names(media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(agent: &str, accept: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::USER_AGENT, agent.parse().unwrap()),
            (header::ACCEPT, accept.parse().unwrap()),
        ])
    }

    #[test]
    fn clients_are_few_labels() {
        for (agent, label) in [
            ("docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.16.0 os/linux arch/amd64", "docker/1.6"),
            ("docker/1.10.0-rc1", "docker/1.10"),
            ("docker/1.99.0", "other"),
            ("docker/0.9.1", "docker/0"),
            ("docker/24.0.5 go/go1.20", "docker/17+"),
            ("containers/5.32.2 (github.com/containers/image)", "containers"),
            ("docker/x.y", "other"),
            ("docker/", "other"),
            ("curl/8.5.0", "other"),
        ] {
            assert_eq!(client(&headers(agent, "*/*")), label, "{agent}");
        }
        assert_eq!(client(&HeaderMap::new()), "other");
    }

    #[test]
    fn words_of_what_was_kept() {
        let long = format!("docker/1.6.2 os/linux os/plan9 arch/ {}", "x".repeat(1000));
        let headers = headers(&long, "*/*");
        let agent = kept(&headers);
        assert_eq!(agent.len(), KEPT);
        assert_eq!((word(agent, "docker"), word(agent, "os")), (Some("1.6.2"), Some("linux")));
        assert_eq!((word(agent, "arch"), word(agent, "kernel"), word("", "os")), (None, None, None));
    }

    #[test]
    fn docker_1_5_to_1_9_read_what_they_ask_for() {
        let schema2 = "application/vnd.docker.distribution.manifest.v2+json";
        for agent in ["docker/1.5.0", "docker/1.6.2 go/go1.4.2", "docker/1.9.1"] {
            assert!(cannot_read(&headers(agent, "application/json"), schema2), "{agent}");
            assert!(cannot_read(&headers(agent, "*/*"), schema2), "{agent}");
            assert!(!cannot_read(&headers(agent, schema2), schema2), "{agent}");
        }
        for agent in ["docker/1.4.1", "docker/1.10.0", "docker/24.0.5", "curl/8.5.0", "Docker-Client/1.6.0"] {
            assert!(!cannot_read(&headers(agent, "application/json"), schema2), "{agent}");
        }
    }
}
