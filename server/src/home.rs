//! The page at `/`: what this is, and where to go on.

use std::sync::Arc;

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::http::{Answer, App, Ask, Reply};
use crate::output::count;

/// Nothing is loaded from anywhere, and no script runs.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'");

/// The page.
pub(crate) async fn home(app: &Arc<App>, ask: &Ask) -> Answer {
    let totals = app.blocking(|app| Ok(app.store.catalog().totals()?)).await?;
    // Only plain hosts and paths become base URLs, so nothing in it needs escaping.
    let base = ask.base.as_str();
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cairn</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;\
         padding:0 1rem}}</style>\
         <h1>Cairn {version}</h1>\
         <p>A content-addressed archive for medical images: {studies} studies, {series} series, \
         {instances} instances.</p>\
         <ul><li>DICOMweb root: <a href=\"{base}/dicom-web\">{base}/dicom-web</a></li>\
         <li>WADO-URI: {base}/wado</li>\
         <li><a href=\"{base}/metrics\">metrics</a>, <a href=\"{base}/healthz\">healthz</a>, \
         <a href=\"{base}/readyz\">readyz</a></li></ul></html>\n",
        version = env!("CARGO_PKG_VERSION"),
        studies = count(totals.studies),
        series = count(totals.series),
        instances = count(totals.instances),
    );
    Ok(Reply::ok("text/html; charset=utf-8", page).header(CONTENT_SECURITY_POLICY, POLICY))
}
