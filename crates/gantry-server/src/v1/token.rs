//! v1 tokens: ours are bearer tokens of this server, for one repository, in the clothes of v1.

use gantry_oci::v1::{TokenAccess, TokenFields, V1Name};

use crate::app::App;
use crate::auth::Identity;
use crate::http::legacy::Failure;

/// Makes a token for a caller who has been allowed what it is for.
pub(super) fn issue(
    _app: &App,
    _identity: &Identity,
    _service: &str,
    _repository: &V1Name,
    _access: TokenAccess,
) -> Result<TokenFields, Failure> {
    todo!()
}
