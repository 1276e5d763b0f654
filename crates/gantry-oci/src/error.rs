//! The error document of the protocol (OCI Distribution, "Error Codes"; E-14.1, X-8).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// What kind of failure it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The code as it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// The status that usually goes with it.
            pub fn default_status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The blob is not in this repository.
    BlobUnknown = "BLOB_UNKNOWN", 404;
    /// The piece does not fit the upload.
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID", 416;
    /// The upload session is not there.
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN", 404;
    /// The digest is malformed or not that of the content.
    DigestInvalid = "DIGEST_INVALID", 400;
    /// The manifest names what is not in this repository.
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN", 400;
    /// The manifest breaks a rule.
    ManifestInvalid = "MANIFEST_INVALID", 400;
    /// The manifest is not in this repository.
    ManifestUnknown = "MANIFEST_UNKNOWN", 404;
    /// The repository name is malformed.
    NameInvalid = "NAME_INVALID", 400;
    /// The repository is not there.
    NameUnknown = "NAME_UNKNOWN", 404;
    /// The length is not what it should be.
    SizeInvalid = "SIZE_INVALID", 400;
    /// Credentials are needed.
    Unauthorized = "UNAUTHORIZED", 401;
    /// Not allowed.
    Denied = "DENIED", 403;
    /// Not offered here.
    Unsupported = "UNSUPPORTED", 405;
    /// Too many requests.
    TooManyRequests = "TOOMANYREQUESTS", 429;
    /// Our fault; not in the specification's list, which is for 4xx.
    Unknown = "UNKNOWN", 500;
    /// Not now; likewise.
    Unavailable = "UNAVAILABLE", 503;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that is none of the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an error code of the protocol")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownErrorCode)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// One failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorEntry {
    /// What kind.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
    /// More, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// `{"errors":[...]}`
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ErrorDocument {
    /// At least one, in documents that are sent.
    pub errors: Vec<ErrorEntry>,
}

impl ErrorDocument {
    /// A document with one entry.
    pub fn one(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { errors: vec![ErrorEntry { code, message: message.into(), detail: None }] }
    }

    /// The document as it is sent.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and values that are JSON already: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what a registry sent; `None` when it is not such a document. Codes that are not known become
    /// [`ErrorCode::Unknown`], and so does none: registries are not strict about it, and the message is worth having.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let received: Received<'_> = serde_json::from_slice(json).ok()?;
        let errors = received.errors.into_iter().map(|entry| ErrorEntry {
            code: entry.code.and_then(|code| code.parse().ok()).unwrap_or(ErrorCode::Unknown),
            message: entry.message.unwrap_or_default().into_owned(),
            detail: entry.detail,
        });
        Some(Self { errors: errors.collect() })
    }
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    errors: Vec<ReceivedEntry<'a>>,
}

#[derive(Deserialize)]
struct ReceivedEntry<'a> {
    code: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
    detail: Option<serde_json::Value>,
}
