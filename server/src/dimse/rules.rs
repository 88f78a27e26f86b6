//! Who may do what: the one place where that is decided.
//!
//! A rule says whom it is about (calling AE title, network, TLS or not, user) and what these may do, or
//! may not. A caller may do what some rule about it allows and no rule about it denies. Whom no rule
//! allows anything is not let in. Without any rule everybody who is let in may do everything.

use std::net::IpAddr;

use cairn_dicom::query::wildcard::Wildcard;
use ipnet::IpNet;

use super::service::Service;

/// Some of the services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Services(u8);

impl Services {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);
    const ECHO: Self = Self(1);
    pub(super) const STORE: Self = Self(1 << 1);
    const FIND: Self = Self(1 << 2);
    pub(super) const GET: Self = Self(1 << 3);
    const MOVE: Self = Self(1 << 4);
    const COMMIT: Self = Self(1 << 5);
    /// All of them.
    pub(crate) const ALL: Self = Self((1 << 6) - 1);

    /// The service of this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "all" => Self::ALL,
            "echo" => Self::ECHO,
            "store" => Self::STORE,
            "find" => Self::FIND,
            "get" => Self::GET,
            "move" => Self::MOVE,
            "commit" => Self::COMMIT,
            _ => return None,
        })
    }

    /// These, and those.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One of `[[dimse.rules]]`. What is empty or `None` is about everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Calling AE titles, in capitals.
    pub(crate) calling: Vec<Wildcard>,
    /// Where the connection comes from.
    pub(crate) networks: Vec<IpNet>,
    /// Only over TLS, or only without.
    pub(crate) tls: Option<bool>,
    /// Users whose identity was checked (PS3.7 §D.3.3.7).
    pub(crate) users: Vec<Wildcard>,
    /// What they may do.
    pub(crate) allow: Services,
    /// What they may not do.
    pub(crate) deny: Services,
    /// Destinations of C-MOVE, in capitals, that the rule allows or denies; empty: all.
    pub(crate) destinations: Vec<Wildcard>,
    /// Associations that each AE title may have open at once.
    pub(crate) associations_max: Option<usize>,
}

/// Who asks for an association.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) title: &'a str,
    pub(super) address: IpAddr,
    pub(super) tls: bool,
    pub(super) user: Option<&'a str>,
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    services: Services,
    /// Where to objects may be moved; empty: anywhere.
    destinations: Vec<Wildcard>,
    /// And where not.
    barred: Vec<Wildcard>,
    /// Associations that it may have open at once.
    pub(super) associations_max: Option<usize>,
}

impl Rule {
    fn is_about(&self, caller: &Caller<'_>) -> bool {
        let title = capitals(caller.title);
        // An IPv4 peer of a socket that takes both has an address of IPv6.
        let address = caller.address.to_canonical();
        (self.calling.is_empty() || is_among(&self.calling, &title))
            && (self.networks.is_empty() || self.networks.iter().any(|n| n.contains(&address)))
            && self.tls.is_none_or(|tls| tls == caller.tls)
            && (self.users.is_empty()
                || caller.user.is_some_and(|user| is_among(&self.users, user)))
    }
}

impl Grant {
    /// Everything.
    pub(super) fn all() -> Self {
        Self {
            services: Services::ALL,
            destinations: Vec::new(),
            barred: Vec::new(),
            associations_max: None,
        }
    }

    /// What the rules say of a caller; `None`: it is not let in.
    pub(super) fn of(rules: &[Rule], caller: &Caller<'_>) -> Option<Self> {
        if rules.is_empty() {
            return Some(Self::all());
        }
        let (mut allowed, mut denied) = (Services::NONE, Services::NONE);
        let (mut destinations, mut barred) = (Vec::new(), Vec::new());
        let mut anywhere = false;
        let mut associations_max: Option<usize> = None;
        for rule in rules.iter().filter(|rule| rule.is_about(caller)) {
            allowed = allowed.and(rule.allow);
            if rule.allow.has(Services::MOVE) {
                anywhere |= rule.destinations.is_empty();
                destinations.extend_from_slice(&rule.destinations);
            }
            // A destination that is denied leaves the others.
            if rule.deny.has(Services::MOVE) && !rule.destinations.is_empty() {
                barred.extend_from_slice(&rule.destinations);
                denied = denied.and(rule.deny.without(Services::MOVE));
            } else {
                denied = denied.and(rule.deny);
            }
            associations_max =
                [associations_max, rule.associations_max].into_iter().flatten().min();
        }
        if anywhere {
            destinations.clear();
        }
        let mut services = allowed.without(denied);
        if services == Services::NONE {
            return None;
        }
        // Who may do anything may ask whether the server is there.
        services = services.and(Services::ECHO.without(denied));
        Some(Self { services, destinations, barred, associations_max })
    }

    /// All of these?
    pub(super) fn has(&self, services: Services) -> bool {
        self.services.has(services)
    }

    /// May objects go to this destination?
    pub(super) fn may_move_to(&self, destination: &str) -> bool {
        let title = capitals(destination);
        (self.destinations.is_empty() || is_among(&self.destinations, &title))
            && !is_among(&self.barred, &title)
    }
}

impl From<Service> for Services {
    fn from(service: Service) -> Self {
        match service {
            Service::Echo => Self::ECHO,
            Service::Store => Self::STORE,
            Service::Find(_) => Self::FIND,
            Service::Move(_) => Self::MOVE,
            Service::Get(_) => Self::GET,
            Service::Commitment => Self::COMMIT,
        }
    }
}

/// AE titles are compared without case, here as everywhere.
pub(crate) fn capitals(title: &str) -> String {
    title.to_ascii_uppercase()
}

fn is_among(patterns: &[Wildcard], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn patterns(words: &[&str]) -> Vec<Wildcard> {
        words.iter().map(|word| Wildcard::new(word).unwrap()).collect()
    }

    fn caller(title: &str) -> Caller<'_> {
        Caller { title, address: "10.1.2.3".parse().unwrap(), tls: false, user: None }
    }

    fn allow(services: Services) -> Rule {
        Rule { allow: services, ..Rule::default() }
    }

    #[test]
    fn behaviour_31_without_rules_all_is_allowed_and_with_them_only_what_one_says() {
        let grant = Grant::of(&[], &caller("X")).unwrap();
        assert!(grant.has(Services::ALL) && grant.may_move_to("ANY"));
        let rule = Rule { calling: patterns(&["CT*"]), ..allow(Services::STORE) };
        let grant = Grant::of(std::slice::from_ref(&rule), &caller("ct1")).unwrap();
        assert!(grant.has(Services::STORE) && grant.has(Services::ECHO));
        for other in [Services::FIND, Services::GET, Services::MOVE, Services::COMMIT] {
            assert!(!grant.has(other), "{other:?}");
        }
        assert_eq!(Grant::of(&[rule], &caller("MR1")), None);
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let all = allow(Services::ALL);
        let not = Rule { calling: patterns(&["WS?"]), deny: Services::STORE, ..Rule::default() };
        for rules in [[all.clone(), not.clone()], [not, all.clone()]] {
            assert!(!Grant::of(&rules, &caller("WS1")).unwrap().has(Services::STORE));
            assert!(Grant::of(&rules, &caller("WS1")).unwrap().has(Services::FIND));
            assert!(Grant::of(&rules, &caller("WS10")).unwrap().has(Services::STORE));
        }
        let nothing = Rule { deny: Services::ALL, ..Rule::default() };
        assert_eq!(Grant::of(&[all, nothing], &caller("WS1")), None);
    }

    #[test]
    fn networks_tls_and_users_tell_callers_apart() {
        let rule = Rule {
            networks: vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()],
            tls: Some(true),
            users: patterns(&["alice", "dr*"]),
            ..allow(Services::FIND)
        };
        let rules = [rule];
        let good = Caller { tls: true, user: Some("dr.who"), ..caller("WS") };
        assert!(Grant::of(&rules, &good).is_some());
        let mapped = Caller { address: "::ffff:10.1.9.9".parse().unwrap(), ..good };
        assert!(Grant::of(&rules, &mapped).is_some());
        assert!(
            Grant::of(&rules, &Caller { address: "fd00::1".parse().unwrap(), ..good }).is_some()
        );
        for bad in [
            Caller { tls: false, ..good },
            Caller { user: None, ..good },
            Caller { user: Some("Alice"), ..good },
            Caller { user: Some("alice2"), ..good },
            Caller { address: "10.2.0.1".parse().unwrap(), ..good },
            Caller { address: "::1".parse().unwrap(), ..good },
        ] {
            assert_eq!(Grant::of(&rules, &bad), None, "{bad:?}");
        }
    }

    #[test]
    fn destinations_add_up_and_are_barred() {
        let to = |words: &[&str]| Rule { destinations: patterns(words), ..allow(Services::MOVE) };
        let rules = [to(&["WS*"]), to(&["PACS"])];
        let grant = Grant::of(&rules, &caller("A")).unwrap();
        assert!(grant.may_move_to("ws1") && grant.may_move_to("PACS"));
        assert!(!grant.may_move_to("ELSEWHERE"));
        let barred =
            Rule { deny: Services::MOVE, destinations: patterns(&["WS9"]), ..Rule::default() };
        let grant = Grant::of(&[to(&["WS*"]), barred.clone()], &caller("A")).unwrap();
        assert!(grant.may_move_to("WS1") && !grant.may_move_to("WS9"));
        let grant = Grant::of(&[allow(Services::ALL), to(&["X"]), barred], &caller("A")).unwrap();
        assert!(grant.may_move_to("ELSEWHERE") && !grant.may_move_to("ws9"));
    }

    #[test]
    fn the_smallest_number_of_associations_counts() {
        let max = |n| Rule { associations_max: Some(n), ..Rule::default() };
        let grant = Grant::of(&[allow(Services::ALL), max(4), max(2)], &caller("A")).unwrap();
        assert_eq!(grant.associations_max, Some(2));
        assert_eq!(Grant::of(&[max(4)], &caller("A")), None);
    }
}
