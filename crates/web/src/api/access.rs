//! Who may do what.

use loggerhead_model::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::words;
use crate::access::Viewer;

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The account, `token NAME`, `token_file`, or `local` on the private socket.
    #[schema(example = "ada")]
    pub name: String,
    /// `viewer`, `operator` or `admin`; each may do what those before it may.
    #[schema(schema_with = role_words)]
    pub role: Role,
    /// What every request that changes something carries in `x-csrf-token`; none where no cookie is used.
    pub csrf: Option<String>,
}

impl From<&Viewer> for Me {
    fn from(viewer: &Viewer) -> Self {
        Self { name: viewer.name().to_owned(), role: viewer.role(), csrf: viewer.csrf().map(ToOwned::to_owned) }
    }
}

pub(super) fn role_words() -> Object {
    words(&Role::ALL.map(Role::word))
}
