//! What this server can do (PS3.18 §8.9, annex H): a WADL document by default, JSON by Accept.

use hyper::header::ACCEPT;

use crate::http::{Ask, Reply};

/// A resource: its path below the root, and its methods, each with what it is called.
struct Resource {
    path: &'static str,
    methods: &'static [(&'static str, &'static str)],
}

const SEARCH: &[(&str, &str)] = &[("GET", "Search")];
const RETRIEVE: &[(&str, &str)] = &[("GET", "Retrieve")];
const ENTITY: &[(&str, &str)] = &[("GET", "Retrieve"), ("DELETE", "Delete")];

const RESOURCES: &[Resource] = &[
    Resource { path: "studies", methods: &[("GET", "Search"), ("POST", "Store")] },
    Resource { path: "series", methods: SEARCH },
    Resource { path: "instances", methods: SEARCH },
    Resource {
        path: "studies/{study}",
        methods: &[("GET", "Retrieve"), ("POST", "Store"), ("DELETE", "Delete")],
    },
    Resource { path: "studies/{study}/metadata", methods: RETRIEVE },
    Resource { path: "studies/{study}/rendered", methods: RETRIEVE },
    Resource { path: "studies/{study}/thumbnail", methods: RETRIEVE },
    Resource { path: "studies/{study}/bulkdata", methods: RETRIEVE },
    Resource { path: "studies/{study}/pixeldata", methods: RETRIEVE },
    Resource { path: "studies/{study}/series", methods: SEARCH },
    Resource { path: "studies/{study}/instances", methods: SEARCH },
    Resource { path: "studies/{study}/series/{series}", methods: ENTITY },
    Resource { path: "studies/{study}/series/{series}/metadata", methods: RETRIEVE },
    Resource { path: "studies/{study}/series/{series}/rendered", methods: RETRIEVE },
    Resource { path: "studies/{study}/series/{series}/thumbnail", methods: RETRIEVE },
    Resource { path: "studies/{study}/series/{series}/bulkdata", methods: RETRIEVE },
    Resource { path: "studies/{study}/series/{series}/pixeldata", methods: RETRIEVE },
    Resource { path: "studies/{study}/series/{series}/instances", methods: SEARCH },
    Resource { path: "studies/{study}/series/{series}/instances/{instance}", methods: ENTITY },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/metadata",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/rendered",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/thumbnail",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/bulkdata",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/pixeldata",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
        methods: RETRIEVE,
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
        methods: RETRIEVE,
    },
    Resource {
        path: "commitment-requests/{transaction}",
        methods: &[("POST", "Request"), ("GET", "Result")],
    },
];

/// The document.
pub(crate) fn capabilities(ask: &Ask) -> Reply {
    let accept = ask.list(&ACCEPT).unwrap_or_default();
    let base = ask.dicomweb();
    if accept.contains("json") {
        Reply::ok("application/json", json(&base))
    } else {
        Reply::ok("application/vnd.sun.wadl+xml", wadl(&base))
    }
}

fn wadl(base: &str) -> String {
    // Only plain hosts and paths become base URLs, so nothing here needs escaping.
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <application xmlns=\"http://wadl.dev.java.net/2009/02\">\n<resources base=\"{base}/\">\n"
    );
    for resource in RESOURCES {
        out.extend(["<resource path=\"", resource.path, "\">"]);
        for (method, id) in resource.methods {
            out.extend(["<method name=\"", method, "\" id=\"", id, "\"/>"]);
        }
        out += "</resource>\n";
    }
    out + "</resources>\n</application>\n"
}

fn json(base: &str) -> String {
    let resources: Vec<_> = RESOURCES
        .iter()
        .map(|resource| {
            let methods = resource.methods.iter();
            let methods: Vec<_> =
                methods.map(|(method, id)| serde_json::json!({"name": method, "id": id})).collect();
            serde_json::json!({"path": resource.path, "methods": methods})
        })
        .collect();
    serde_json::json!({"base": format!("{base}/"), "resources": resources}).to_string()
}
