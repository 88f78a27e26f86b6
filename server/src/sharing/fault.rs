//! What keeps a site from sharing.

use cairn_ledger::id::SiteId;

/// Why something cannot be shared. Texts name sites, never anything of a patient.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nobody began a ledger.
    #[error("this site has no ledger yet; `cairn ledger join NAME` begins one")]
    NoLedger,
    /// There is one already.
    #[error("this site's ledger has been begun already, as {0}")]
    Joined(String),
    /// A name that a ledger cannot have.
    #[error(
        "{0:?} cannot name a ledger: up to 255 characters without blanks and plus signs, best a host \
         name of yours and /cairn"
    )]
    Name(String),
    /// No peer is called so.
    #[error("no site here is called {0}; `cairn peers` lists them")]
    UnknownSite(String),
    /// Several are.
    #[error("{0} may be several sites; give more of the id")]
    AmbiguousSite(String),
    /// A peer is introduced under a name that is taken.
    #[error("another site here is called {0} already")]
    NameTaken(String),
    /// A site is introduced to itself.
    #[error("that is this very site")]
    Oneself,
    /// Who answers is not who a person compared.
    #[error("the fingerprint there is {shown}: not what was compared; nothing is changed")]
    OtherFingerprint {
        /// Of who answered.
        shown: String,
    },
    /// A site's log does not lead to the key that it shows.
    #[error("the ledger of {0} does not lead to the TLS key that it shows")]
    UnboundKey(String),
    /// Nothing was followed of its log yet, so there is no key to seal for.
    #[error(
        "the ledger of {0} is not followed yet: it has to know this site as well; `cairn peers` tells \
         how far it is"
    )]
    NotFollowed(String),
    /// Its log was caught at something.
    #[error("the ledger of {name} is not trusted: {finding}")]
    Suspended {
        /// The site.
        name: String,
        /// What was found.
        finding: String,
    },
    /// Its mirror cannot be read.
    #[error("the mirror of {name} cannot be used: {why}")]
    Mirror {
        /// The site.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Others have seen more of this site's own log than is here: to go on would be a fork.
    #[error(
        "this site's own ledger is not the one that others have seen: {why}. Was an old copy brought \
         back? Nothing is added to it, since that would be a second history. Bring the whole ledger \
         back, then remove {file}"
    )]
    OwnLog {
        /// Who saw what.
        why: String,
        /// The file that remembers it.
        file: String,
    },
    /// There is no such grant.
    #[error("there is no such grant: {0}")]
    NoGrant(String),
    /// A group has not had an emergency access reviewed in time.
    #[error(
        "the group {group} opens nothing more in an emergency until its access under entry {entry} of \
         this site's ledger is reviewed; the owner's privacy officers can do that, and this site's own"
    )]
    Unreviewed {
        /// Which group.
        group: String,
        /// Which access.
        entry: u64,
    },
    /// No line, no access.
    #[error("the audit log cannot be written, so nothing is done")]
    Unaudited,
    /// There is no such entry.
    #[error("there is no entry {0}")]
    NoEntry(u64),
    /// The log of that site is not here.
    #[error("the log of {0} is not mirrored here")]
    NoMirror(SiteId),
    /// Words that mean nothing here.
    #[error("{what} cannot be {word:?}; it is one of {known}")]
    Word {
        /// What was to be named.
        what: &'static str,
        /// How it was.
        word: String,
        /// What would do.
        known: String,
    },
    /// The study is another site's.
    #[error(
        "the study came from another site, and is that site's: it is not this one's to hand over"
    )]
    NotOwned,
    /// It was this site's.
    #[error("the study was handed over to {0}, which may share it")]
    HandedOver(SiteId),
    /// Nobody handed it to this site.
    #[error("no such study was handed to this site, or it was taken over already")]
    NotHanded,
    /// Who handed it over never had it.
    #[error("the study was not that site's to hand over: {0}")]
    Disowned(String),
    /// It is here, and not as it was handed over.
    #[error(
        "what the archive shows of the study is not what was handed over: something else came of it, or \
         some of it was deleted"
    )]
    OtherContent,
    /// What a patient signed does not do what it is shown for.
    #[error("the patient's signature does not count here: {0}")]
    Consent(&'static str),
    /// What a patient's command was given cannot be used, or the hospital does not take it.
    #[error("{0}")]
    Patient(String),
    /// The key is bound to another patient's studies.
    #[error("that card is another patient's here already")]
    OtherPatient,
    /// There is no study with a patient by that UID.
    #[error("{0} is no study here, or says of no patient that it is")]
    NoPatient(String),
    /// A request needs the archive, and there is none.
    #[error("there is no archive here")]
    NoArchive,
    /// The request is not understood: another version of the program asks.
    #[error("the request is not understood: {0}")]
    Request(String),
    /// It took too long.
    #[error("{0} did not answer in time")]
    Late(String),
    /// The server at the control socket does not answer as it should.
    #[error("the server on this archive does not answer as it should: {0}")]
    Control(String),
    /// A file of the site cannot be read.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
}
