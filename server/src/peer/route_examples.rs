//! One example of each route for other sites: method, path, label. `route.rs` finds one that is missing.

/// All of them.
pub(crate) const PEER_EXAMPLES: &[(&str, &str, &str)] = &[
    ("GET", "/peer/v1/hello", "peer_hello"),
    ("GET", "/peer/v1/log/checkpoint", "peer_log"),
    (
        "GET",
        "/peer/v1/seen/0707070707070707070707070707070707070707070707070707070707070707",
        "peer_seen",
    ),
    ("POST", "/peer/v1/add-checkpoint", "peer_add_checkpoint"),
    ("POST", "/peer/v1/nudge", "peer_nudge"),
    (
        "GET",
        "/peer/v1/studies/0707070707070707070707070707070707070707070707070707070707070707/1/record",
        "peer_record",
    ),
    (
        "GET",
        "/peer/v1/studies/0707070707070707070707070707070707070707070707070707070707070707/1/opening",
        "peer_opening",
    ),
    (
        "POST",
        "/peer/v1/studies/0707070707070707070707070707070707070707070707070707070707070707/1/chunks",
        "peer_chunks",
    ),
    (
        "POST",
        "/peer/v1/studies/0707070707070707070707070707070707070707070707070707070707070707/1/loans",
        "peer_loans",
    ),
    ("POST", "/peer/v1/search", "peer_search"),
    ("POST", "/peer/v1/emergency", "peer_emergency"),
    ("POST", "/peer/v1/receipts", "peer_receipt"),
    ("POST", "/peer/v1/consents", "peer_consent"),
];
