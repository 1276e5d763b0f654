//! What came back, and what must be so.

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use serde_json::Value;

/// The codes that an answer with a 4xx status may carry (E-14.1).
const CODES: &[&str] = &[
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

/// The header that every answer of the v1 API carries.
const V1_VERSION: &str = "x-docker-registry-version";
/// What `docker login` compares, and so is no error in form (V-9.5).
const TAKEN: &str = "\"Username or email already exists\"";

/// An answer. Assertions give it back, so that they can be strung together.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    fn shown(&self) -> String {
        let mut text = format!("{} -> {}\n", self.what, self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("  {name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        let body = &self.body[..self.body.len().min(2000)];
        text.push_str(&String::from_utf8_lossy(body));
        text
    }

    #[track_caller]
    fn hold(&self, holds: bool, rule: &str) {
        assert!(holds, "{rule}\n{}", self.shown());
    }

    /// What every answer of the registry keeps: E-14.1, E-14.4, X-3.8, X-7, T43, T45, T57.
    #[track_caller]
    pub(super) fn check(&self, in_v2: bool) {
        self.hold(self.get("content-encoding").is_none(), "T45: no Content-Encoding");
        self.hold(self.get("transfer-encoding").is_none(), "X-3.8: the length is known");
        if in_v2 {
            let version = self.get("docker-distribution-api-version");
            self.hold(version == Some("registry/2.0"), "X-7: the version header");
            self.hold(self.get("x-content-type-options") == Some("nosniff"), "X-7: nosniff");
        }
        let in_api = self.path().starts_with("/api/");
        // Where v1 is off its paths are like any other that is not there.
        let in_v1 = self.path().starts_with("/v1/") && (self.status != 404 || self.get(V1_VERSION).is_some());
        if in_v1 {
            self.check_v1();
        }
        if in_api {
            self.hold(self.get("cache-control") == Some("no-store"), "answers of the admin API are not kept");
            self.hold(self.get("x-content-type-options") == Some("nosniff"), "nosniff");
            self.hold(self.get("x-request-id").is_some(), "a request id");
        }
        if in_api && self.status >= 400 && self.method != Method::HEAD {
            self.check_problem();
        }
        let redirected = (300..400).contains(&self.status) && self.status != 304;
        self.hold(!redirected, "E-14.4: clients cannot send a body twice");
        for warning in self.headers.get_all("warning") {
            self.hold(warning.as_bytes().starts_with(b"299 - \""), "E-14.3, T57: the form of Warning");
        }
        if !matches!(self.status, 204 | 304) {
            self.hold(self.get("content-length").is_some(), "Content-Length on every answer");
        }
        if let Some(location) = self.get("location") {
            let absolute = location.starts_with('/') && !location.starts_with("//");
            self.hold(absolute, "T43: Location is an absolute path");
        }
        if (400..500).contains(&self.status) && self.method != Method::HEAD && !in_api && !in_v1 {
            self.hold(self.get("content-type") == Some("application/json"), "E-14.1: errors are JSON");
            let document = self.json();
            let errors = document["errors"].as_array();
            self.hold(errors.is_some_and(|errors| !errors.is_empty()), "E-14.1: a list of errors");
            for error in errors.into_iter().flatten() {
                let code = error["code"].as_str().unwrap_or_default();
                self.hold(CODES.contains(&code), "E-14.1: a code of the specification");
                let message = error["message"].as_str().unwrap_or_default();
                self.hold(!message.is_empty(), "a message for the reader");
            }
        }
        if self.method == Method::HEAD || matches!(self.status, 204 | 304) {
            self.hold(self.body.is_empty(), "no body");
        }
    }

    /// The path that was asked.
    fn path(&self) -> &str {
        let target = self.what.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// What every answer of the v1 API keeps: V-2.9, V-2.10, V-5.3.
    #[track_caller]
    fn check_v1(&self) {
        self.hold(self.get(V1_VERSION) == Some("0.9.1"), "V-2.10: the version header");
        self.hold(self.get("x-content-type-options") == Some("nosniff"), "nosniff");
        if self.status == 416 {
            self.hold(self.body.is_empty(), "V-5.3: a 416 without a body ends a download well");
        } else if self.status >= 400 && self.method != Method::HEAD && self.body != TAKEN.as_bytes() {
            self.hold(self.get("content-type") == Some("application/json"), "V-2.9: errors are JSON");
            let said = self.json();
            let text = said["error"].as_str().map(str::len);
            // `docker login` compares this one with its quotes.
            let taken = said == "Username or email already exists";
            self.hold(taken || text.is_some_and(|length| length > 0), "V-2.9: {\"error\": \"text\"}");
        }
    }

    /// `{"error": "text"}` with this status.
    #[track_caller]
    pub(crate) fn says(self, status: u16, text: &str) -> Self {
        let said = self.status == status && self.json()["error"] == text;
        self.hold(said, &format!("expected {status} and the text `{text}`"));
        self
    }

    /// RFC 9457
    #[track_caller]
    fn check_problem(&self) {
        self.hold(self.get("content-type") == Some("application/problem+json"), "failures are problems");
        let problem = self.json();
        self.hold(problem["status"] == self.status, "the status stands in the problem");
        self.hold(
            problem["request_id"].as_str() == self.get("x-request-id"),
            "the request id stands there too",
        );
        let kind = problem["type"].as_str().unwrap_or_default();
        self.hold(kind == "about:blank" || kind.starts_with("urn:gantry:problem:"), "a known type");
        for member in ["title", "detail"] {
            self.hold(problem[member].as_str().is_some_and(|text| !text.is_empty()), "words for the reader");
        }
    }

    /// A problem of this type, which is `about:blank` when nothing is said.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, name: &str) -> Self {
        let expected =
            if name.is_empty() { "about:blank".to_owned() } else { format!("urn:gantry:problem:{name}") };
        let kind = self.json()["type"] == expected.as_str();
        self.hold(self.status == status && kind, &format!("expected {status} and the type {expected}"));
        self
    }

    /// A header's text; the first one when there are several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// All values of a header, comma lists taken apart.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.get_all(name).iter();
        lines.flat_map(|line| line.to_str().expect("a header in ASCII").split(',')).map(str::trim).collect()
    }

    #[track_caller]
    pub(crate) fn status(self, expected: u16) -> Self {
        self.hold(self.status == expected, &format!("expected status {expected}"));
        self
    }

    /// One of these statuses.
    #[track_caller]
    pub(crate) fn status_in(self, expected: &[u16]) -> Self {
        self.hold(expected.contains(&self.status), &format!("expected one of {expected:?}"));
        self
    }

    #[track_caller]
    pub(crate) fn header(self, name: &str, expected: &str) -> Self {
        self.hold(self.get(name) == Some(expected), &format!("expected {name}: {expected}"));
        self
    }

    #[track_caller]
    pub(crate) fn no_header(self, name: &str) -> Self {
        self.hold(self.get(name).is_none(), &format!("expected no {name}"));
        self
    }

    /// `Docker-Content-Digest`
    #[track_caller]
    pub(crate) fn digest(self, expected: &str) -> Self {
        self.header("docker-content-digest", expected)
    }

    #[track_caller]
    pub(crate) fn body(self, expected: &[u8]) -> Self {
        let length = expected.len();
        self.hold(self.body == expected, &format!("expected another body, of {length} bytes"));
        self
    }

    /// The code of the first error. Answers to HEAD have none.
    #[track_caller]
    pub(crate) fn error(self, code: &str) -> Self {
        let found = self.json();
        self.hold(found["errors"][0]["code"] == code, &format!("expected the code {code}"));
        self
    }

    /// 404 with this code.
    #[track_caller]
    pub(crate) fn missing(self, code: &str) -> Self {
        self.status(404).error(code)
    }

    /// 400 with this code.
    #[track_caller]
    pub(crate) fn bad(self, code: &str) -> Self {
        self.status(400).error(code)
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.shown()))
    }

    /// Where `Location` points.
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.hold(self.get("location").is_some(), "expected a Location");
        self.get("location").unwrap_or_default().to_owned()
    }

    /// Where the next page is: the target of `Link`, which must be relative and `rel="next"` (E-11.5, T31).
    #[track_caller]
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.get("link")?;
        let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        self.hold(target.is_some_and(|target| target.starts_with("/v2/")), "Link: </v2/...>; rel=\"next\"");
        target.map(str::to_owned)
    }

    /// The strings of a list in the body.
    #[track_caller]
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let document = self.json();
        self.hold(document[key].is_array(), &format!("T33: {key} is a list"));
        let items = document[key].as_array().into_iter().flatten();
        items.map(|item| item.as_str().expect("a string").to_owned()).collect()
    }
}
