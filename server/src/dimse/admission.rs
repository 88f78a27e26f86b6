//! Who is let in: everything that is known of a caller, looked at in one place, and in this order.
//!
//! A rejection says as little as the standard has words for (PS3.8 table 9-21). What it was about is in
//! the log and the figures of whoever runs the server.

use std::net::IpAddr;

use thiserror::Error;

use super::identity;
use super::pdu::{APPLICATION_CONTEXT, Associate, Proposal};
use super::rules::{Caller, Grant};
use super::settings::Settings;
use super::{Dimse, Open};

/// Result, source, reason of an A-ASSOCIATE-RJ (PS3.8 table 9-21).
pub(super) type Rejection = [u8; 3];

/// Why an association is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refused {
    #[error("there are as many associations as there may be, or the server is ending")]
    Full,
    #[error("another version of the protocol")]
    Version,
    #[error("another application context")]
    ApplicationContext,
    #[error("this server has another AE title")]
    Called,
    #[error("the calling AE title is not among those that may call")]
    Calling,
    #[error("{0}")]
    Identity(identity::Refused),
    #[error("no rule allows this caller anything")]
    Rules,
    #[error("this AE title has as many associations as it may have")]
    TooMany,
}

impl Refused {
    /// The word under which it is counted.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Version | Self::ApplicationContext => "protocol",
            Self::Called => "called",
            Self::Calling => "calling",
            Self::Identity(_) => "identity",
            Self::Rules => "rules",
            Self::TooMany => "too_many",
        }
    }

    /// What the caller is told.
    pub(super) fn rejection(self) -> Rejection {
        match self {
            // Transient, by the presentation provider: local limit exceeded.
            Self::Full | Self::TooMany => [2, 3, 2],
            Self::Version => [1, 2, 2],
            Self::ApplicationContext => [1, 1, 2],
            Self::Called => [1, 1, 7],
            Self::Calling | Self::Rules => [1, 1, 3],
            // There is no reason of its own for identities: by the service user, none given.
            Self::Identity(_) => [1, 1, 1],
        }
    }
}

/// Who was let in.
#[derive(Debug)]
pub(super) struct Admitted {
    /// What it may do.
    pub(super) grant: Grant,
    /// Whose identity was checked.
    pub(super) user: Option<String>,
}

/// Over what a caller came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) address: IpAddr,
    pub(super) tls: bool,
}

/// Lets a caller in, or not.
pub(super) fn admit(
    dimse: &Dimse,
    open: &Open,
    request: &Associate<Proposal>,
    way: Way,
) -> Result<Admitted, Refused> {
    let settings = &dimse.settings;
    speaks(request, settings)?;
    let identities = settings.identities.as_ref();
    let checked = identities.map_or(Ok(None), |i| i.check(request.user.identity.as_ref()));
    let user = checked.map_err(Refused::Identity)?;
    let caller = Caller {
        title: &request.calling,
        address: way.address,
        tls: way.tls,
        user: user.as_deref(),
    };
    let grant = Grant::of(&settings.rules, &caller).ok_or(Refused::Rules)?;
    if !open.claim(&request.calling, grant.associations_max) {
        return Err(Refused::TooMany);
    }
    Ok(Admitted { grant, user })
}

/// Is it a peer that is spoken with at all?
fn speaks(request: &Associate<Proposal>, settings: &Settings) -> Result<(), Refused> {
    // Only bit 0 is tested (PS3.8 §9.3.2).
    if request.version & 1 == 0 {
        return Err(Refused::Version);
    }
    if request.application_context != APPLICATION_CONTEXT {
        return Err(Refused::ApplicationContext);
    }
    if !settings.is_called(&request.called) {
        return Err(Refused::Called);
    }
    if !settings.may_call(&request.calling) {
        return Err(Refused::Calling);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::pdu::User;

    #[test]
    fn behaviour_29_names_in_any_case() {
        let mut asked = Associate {
            version: 1,
            called: "CAIRN".into(),
            calling: "X".into(),
            application_context: APPLICATION_CONTEXT.into(),
            contexts: Vec::new(),
            user: User::default(),
        };
        let own = Settings { called_own: true, ..Settings::default() };
        assert_eq!(speaks(&asked, &own), Ok(()));
        asked.called = "cairn".into();
        assert_eq!(speaks(&asked, &own), Ok(()));
        asked.called = "OTHER".into();
        assert_eq!(speaks(&asked, &own), Err(Refused::Called));
        assert_eq!(speaks(&asked, &Settings::default()), Ok(()));
        asked.version = 2;
        assert_eq!(speaks(&asked, &Settings::default()), Err(Refused::Version));
    }
}
