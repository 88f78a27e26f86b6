//! What goes wrong between sites.

/// Why another site could not be asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be reached, or the connection broke.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What the system, TLS or HTTP said.
        why: String,
    },
    /// Another key than that of the site's log is shown at its address.
    #[error("{url} shows another key than the site's")]
    OtherKey {
        /// Where.
        url: String,
    },
    /// It refuses.
    #[error("{url} refuses: {why}")]
    Refused {
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// In its words, cut short.
        why: String,
    },
    /// What it says is not what was asked for, or does not verify.
    #[error("{url} answers wrongly: {why}")]
    Wrong {
        /// Where.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An address that cannot be one.
    #[error("{0:?} is no address of a site: it has to be https://HOST:PORT")]
    Url(String),
    /// The own key cannot be used for TLS.
    #[error("the site's TLS key cannot be used: {0}")]
    Identity(String),
}
