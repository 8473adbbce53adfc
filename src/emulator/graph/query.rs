//! OData query options and the rules about which of them go together.

use crate::emulator::certificate::{base64, lenient_base64url};
use crate::emulator::graph::filter::{self, Filter};
use crate::emulator::graph::refusal::Refusal;
use crate::emulator::wire::Call;
use crate::emulator::world::Kind;

/// The page size when nobody asks for one.
const PAGE_SIZE_DEFAULT: usize = 100;
/// The largest page that may be asked for.
const PAGE_SIZE_MAX: usize = 999;
/// With advanced queries the only limit on a filter is the length of the URL, in characters.
const URL_LENGTH_MAX: usize = 2048;

/// What a list request asks for.
pub(crate) struct ListQuery {
    pub(crate) select: Option<Vec<String>>,
    pub(crate) filter: Option<Filter>,
    pub(crate) top: usize,
    /// `$count=true` together with the header: the total is wanted.
    pub(crate) count: bool,
    /// Header and `$count=true` are both there.
    pub(crate) advanced: bool,
    pub(crate) order_by_name: Option<Direction>,
    /// The place in the list after which to go on.
    pub(crate) after: Option<String>,
}

/// Which way a list is sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

const KNOWN: &[&str] =
    &["$select", "$filter", "$top", "$count", "$orderby", "$skiptoken", "$expand", "$format", "$search"];

/// Reads the query of a list of `kind`.
pub(crate) fn list(call: &Call, kind: Kind) -> Result<ListQuery, Refusal> {
    for (name, _) in &call.query {
        if name.starts_with('$') && !KNOWN.contains(&name.as_str()) {
            return Err(Refusal::unsupported(format!("The query parameter '{name}' is not supported.")));
        }
    }
    let advanced = has_header(call) && call.parameter("$count") == Some("true");
    if call.parameter("$search").is_some() {
        return Err(Refusal::unsupported(
            "Request with $search query parameter is not imitated by this emulator.",
        ));
    }
    if call.parameter("$expand").is_some() {
        // With advanced queries the service refuses it too.
        return Err(Refusal::unsupported("Query parameter $expand is not imitated here except on policies."));
    }
    if advanced && !call.in_batch && call.base.len() + call.target.len() > URL_LENGTH_MAX {
        return Err(Refusal::new(414, "UriTooLong", "The request URL is longer than 2048 characters."));
    }
    let filter = match call.parameter("$filter") {
        Some(text) => Some(filter::parse(text, kind, advanced)?),
        None => None,
    };
    let order_by_name = order_by(call.parameter("$orderby"), filter.is_some(), advanced)?;
    Ok(ListQuery {
        select: select(call, kind)?,
        filter,
        top: top(call.parameter("$top"))?,
        count: advanced,
        advanced,
        order_by_name,
        after: after(call.parameter("$skiptoken"))?,
    })
}

/// Whether the request declares that it can live with an index that lags behind.
pub(crate) fn has_header(call: &Call) -> bool {
    call.header("consistencylevel").is_some_and(|level| level.eq_ignore_ascii_case("eventual"))
}

/// The properties of `$select`, or none for the default ones.
pub(crate) fn select(call: &Call, kind: Kind) -> Result<Option<Vec<String>>, Refusal> {
    let Some(text) = call.parameter("$select") else { return Ok(None) };
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    for name in &names {
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
        if !known || !super::render::is_property(kind, name) {
            return Err(Refusal::new(
                400,
                "BadRequest",
                format!(
                    "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
                     'microsoft.graph.{}'.",
                    kind.type_name()
                ),
            ));
        }
    }
    Ok(Some(names))
}

fn top(text: Option<&str>) -> Result<usize, Refusal> {
    let Some(text) = text else { return Ok(PAGE_SIZE_DEFAULT) };
    match text.parse() {
        Ok(size) if (1..=PAGE_SIZE_MAX).contains(&size) => Ok(size),
        Ok(_) => Err(Refusal::unsupported(format!(
            "Invalid page size specified: '{text}'. Must be between 1 and {PAGE_SIZE_MAX} inclusive."
        ))),
        Err(_) => Err(Refusal::new(
            400,
            "BadRequest",
            format!("Invalid value '{text}' for $top query option found. It must be a non-negative integer."),
        )),
    }
}

fn order_by(text: Option<&str>, filtered: bool, advanced: bool) -> Result<Option<Direction>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    if filtered && !advanced {
        return Err(Refusal::unsupported(
            "Sorting not supported for current query. Try adding $count=true query parameter and \
             ConsistencyLevel:eventual header.",
        ));
    }
    match text.trim() {
        "displayName" | "displayName asc" => Ok(Some(Direction::Ascending)),
        "displayName desc" => Ok(Some(Direction::Descending)),
        other => Err(Refusal::unsupported(format!("Sorting by '{other}' is not supported."))),
    }
}

/// The opaque text of a `$skiptoken` that goes on after `place`.
pub(crate) fn skip_token(place: &str) -> String {
    format!(
        "RFNwdAIAAQAAAB{}",
        base64(place.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_")
    )
}

fn after(token: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(token) = token else { return Ok(None) };
    token
        .strip_prefix("RFNwdAIAAQAAAB")
        .and_then(lenient_base64url)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            Refusal::new(
                400,
                "Directory_ExpiredPageToken",
                "The specified page token value has expired and can no longer be included in your request.",
            )
        })
}
