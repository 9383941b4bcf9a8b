//! What pages are made of, inside the binary.
//!
//! The address of an asset holds a hash over all of them, so that browsers may keep it for ever and never mix versions.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;

use crate::extract::Segment;
use crate::problem::{Problem, ProblemKind};

/// Where assets are served.
pub(super) const ROUTE: &str = "/assets/{version}/{*name}";
/// Browsers ask again only for another address.
const KEEP: &str = "public, max-age=31536000, immutable";

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// One file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name)),
        }
    };
}

static ASSETS: &[Asset] = &[
    asset!("console.css", CSS),
    asset!("console.js", SCRIPT),
    asset!("access.js", SCRIPT),
    asset!("add.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("course.js", SCRIPT),
    asset!("chat.css", CSS),
    asset!("chat.js", SCRIPT),
    asset!("chat_link.js", SCRIPT),
    asset!("doors.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("forms.js", SCRIPT),
    asset!("inspector.js", SCRIPT),
    asset!("live.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("steadily.js", SCRIPT),
    asset!("texts.js", SCRIPT),
    asset!("times.js", SCRIPT),
    asset!("icon.svg", "image/svg+xml"),
    asset!("vendor/uplot/uPlot.js", SCRIPT),
    asset!("vendor/uplot/uPlot.css", CSS),
];

/// The hash over all assets, as hex digits: FNV-1a, which tells versions apart and need not resist anybody.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let bytes = ASSETS.iter().flat_map(|asset| asset.name.bytes().chain(asset.bytes.iter().copied()));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
});

/// The address of an asset.
pub(super) fn address(name: &str) -> String {
    debug_assert!(ASSETS.iter().any(|asset| asset.name == name), "no asset {name}");
    format!("/assets/{}/{name}", *VERSION)
}

/// Serves one; an address of another version is gone.
///
/// # Errors
/// `UnknownPath` where there is none.
pub(super) async fn serve(Segment((version, name)): Segment<(String, String)>) -> Result<impl IntoResponse, Problem> {
    let found = ASSETS.iter().find(|asset| asset.name == name && version == *VERSION);
    let unknown = || Problem::new(ProblemKind::UnknownPath, format!("no asset {name:?} of this version"));
    let asset = found.ok_or_else(unknown)?;
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, KEEP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, asset.bytes))
}
