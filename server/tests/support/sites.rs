//! Sites that share: a server each, reached by others on a port of its own.

use serde_json::Value;

use super::Site;
use super::ports::free_port;
use super::server::Server;

/// A site with its server.
pub(crate) struct Hospital {
    pub(crate) site: Site,
    pub(crate) server: Server,
    peer: String,
    settings: Vec<(String, String)>,
}

impl Hospital {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_on(Site::new(), name)
    }

    pub(crate) fn start_on(site: Site, name: &str) -> Self {
        Self::start_with(site, name, &[])
    }

    /// With these settings beside what makes it a site.
    pub(crate) fn start_with(site: Site, name: &str, settings: &[(&str, &str)]) -> Self {
        let port = free_port();
        let peer = format!("127.0.0.1:{port}");
        let own =
            [("SHARING__NAME", name), ("SHARING__LISTEN", &peer), ("SHARING__SYNC_SECONDS", "1")];
        let all = own.iter().chain(settings);
        let settings: Vec<_> =
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let server = serve(&site, &settings);
        Self { site, server, peer, settings }
    }

    /// Its server again, at the same address, after it ended.
    pub(crate) fn restart(&mut self) {
        self.server = serve(&self.site, &self.settings);
    }

    /// Where others reach it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.peer)
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.site.object(&["ledger"])["fingerprint"].as_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.site.object(&["ledger"])["site"].as_str().unwrap().to_owned()
    }
}

fn serve(site: &Site, settings: &[(String, String)]) -> Server {
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Server::start(site, &settings)
}

/// Two sites add each other, and follow each other when this ends.
pub(crate) fn introduce(one: &Hospital, other: &Hospital) {
    for (here, there) in [(one, other), (other, one)] {
        let (url, print) = (there.url(), there.fingerprint());
        here.site.good(&["peers", "add", &url, "--fingerprint", &print]);
    }
    super::eventually("they follow each other", || {
        [(one, other), (other, one)].iter().all(|(here, there)| {
            let peers = super::lines(&here.site.run(&["--json", "peers"]).stdout);
            let id = there.id();
            peers.iter().any(|peer| peer["site"] == id.as_str() && peer["is_fresh"] == true)
        })
    });
}

/// Studies that a site imports; the UID of one of several instances.
pub(crate) fn study_of(site: &Site) -> String {
    site.put_studies();
    site.good(&["import", "in"]);
    site.list(&["ls"])[0]["study_uid"].as_str().unwrap().to_owned()
}

/// Grants given and received.
pub(crate) fn grants(site: &Site) -> Vec<Value> {
    site.list(&["grants"])
}
