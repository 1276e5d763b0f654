//! The vocabulary of the Docker Registry API v1 and of its Index: image ids, requests, headers, the JSON of images, and what an image
//! of one API looks like in the other.
//!
//! In v1 an *image* is one layer with its JSON and the id of its parent; a tag names the top of such a chain. All of this is
//! pure: the same bytes give the same ids and digests, whatever the time and the host.

mod checksum;
mod created;
mod derive;
mod id;
mod image;
mod index;
mod make;
mod name;
mod object;
mod request;
mod token;

pub use checksum::{Checksums, TarSum, TarSumError, TarSumVersion};
pub use derive::{
    CHAIN_MAX, CONFIG_MAX, Derived, DerivedImage, EMPTY_LAYER, Platform, config_of, derive, platform_manifest,
};
pub use id::{ImageId, ImageIdError};
pub use image::{ImageJson, ImageJsonError, parse_ancestry};
pub use make::{ChainLink, Made, history_of, make};
pub use name::V1Name;
pub use request::{Endpoint, ImagePart, Request, RequestError, SearchQuery, is_v1};
pub use token::{Authorization, TokenAccess, TokenFields};
