//! Every refusal of this API: its status, its `type`, and what it says for example.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// `detail` is an example: people read it, programs read the slug.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub slug: &'static str,
    pub detail: &'static str,
}

impl Refusal {
    pub fn as_problem(&self) -> Value {
        json!({
            "type": format!("urn:usher:problem:{}", self.slug),
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
        })
    }
}

pub(super) fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

pub(super) const fn refusal(status: u16, slug: &'static str, detail: &'static str) -> Refusal {
    Refusal { status, slug, detail }
}

/// Of every operation.
pub(super) const ANY: [Refusal; 5] = [
    refusal(400, "invalid-query", "limit: must be a number from 1 to 200"),
    refusal(400, "malformed-request", "The request cannot be read."),
    refusal(414, "uri-too-long", "Path and query may have at most 8192 bytes."),
    refusal(431, "headers-too-large", "A request may have at most 100 header fields of 16384 bytes together."),
    refusal(500, "internal", "The host failed to answer this request."),
];

/// Of every one that wants a caller, who may sign.
pub(super) const CALLER: [Refusal; 3] = [
    refusal(
        400,
        "ambiguous-credentials",
        "The request has a signature and an Authorization header: which one says who asks?",
    ),
    refusal(400, "invalid-request", "There is more than one X-Tenant-ID."),
    refusal(400, "tenant-needed", "This key is for more than one tenant: say which by X-Tenant-ID, and sign it."),
];

pub(super) const UNAVAILABLE: Refusal = refusal(503, "unavailable", "The database could not answer.");
pub(super) const UNAUTHENTICATED: Refusal = refusal(401, "unauthenticated", "Not let in: a bearer token is needed.");
pub(super) const ADMIN: Refusal = refusal(403, "forbidden", "Only an admin may do this.");
pub(super) const CHANGES: Refusal = refusal(403, "forbidden", "Only an admin or a venue admin may do this.");
pub(super) const MANY: Refusal = refusal(403, "forbidden", "Only an admin, a venue admin or a service may do this.");
pub(super) const OTHER_TENANT: Refusal = refusal(403, "forbidden", "Only an admin may name another tenant.");

pub(super) const NO_JOB: Refusal = refusal(404, "not-found", "There is no such job.");
pub(super) const NO_QUEUE: Refusal = refusal(404, "not-found", "There is no queue \"x\" on this host.");
pub(super) const NO_PLUGIN: Refusal = refusal(404, "not-found", "There is no plugin \"x\"; see GET /plugins.");
pub(super) const NO_RELEASE: Refusal =
    refusal(404, "release-not-found", "The plugin has no release 1.2.0; see GET /plugins/NAME/releases.");
pub(super) const NO_ENDPOINT: Refusal = refusal(404, "not-found", "There is no such webhook endpoint.");
pub(super) const NO_PROVIDER: Refusal = refusal(404, "not-found", "There is no provider \"x\".");

/// Whatever is read as a JSON body.
pub(super) const BODY: [Refusal; 5] = [
    refusal(400, "malformed-json", "The body is not JSON: expected value at line 1 column 1."),
    refusal(408, "body-not-received", "The body did not come in whole."),
    refusal(413, "payload-too-large", "The body may have at most 524288 bytes."),
    refusal(415, "unsupported-media-type", "The body must be application/json."),
    refusal(422, "invalid-request", "/type: is missing"),
];

/// What a submit may say of the job itself.
pub(super) const SUBMIT: [Refusal; 3] = [
    refusal(422, "unknown-job-type", "No plugin owns the job type \"x\"."),
    refusal(422, "invalid-payload", "The payload is not one of this job type; pointers are into the payload."),
    refusal(409, "job-type-retiring", "Nothing was written: the plugin of this job type is being retired."),
];

/// Of a publish: what is wrong with the component.
pub(super) const COMPONENT: [Refusal; 14] = [
    refusal(422, "not-wasm", "Not published: these bytes are no WebAssembly."),
    refusal(422, "core-module", "Not published: this is a core module, not a component."),
    refusal(422, "damaged", "Not published: the component is damaged."),
    refusal(422, "too-complex", "Not published: the component has too many parts."),
    refusal(422, "manifest-invalid", "Not published: plugin.toml, line 3: unknown field."),
    refusal(422, "no-manifest", "Not published: the component has no manifest."),
    refusal(422, "import-not-granted", "Not published: it imports what no grant allows."),
    refusal(422, "does-not-link", "Not published: it exports no handler."),
    refusal(422, "policy", "Not published: the operator's policy grants it no stripe."),
    refusal(422, "needs-too-much", "Not published: it needs more memories than this host has."),
    refusal(422, "does-not-instantiate", "Not published: it traps when it is made."),
    refusal(422, "compile-memory", "Not published: compiling it takes too much memory."),
    refusal(422, "compile-time", "Not published: compiling it takes too long."),
    refusal(422, "compile-error", "Not published: it does not compile."),
];

/// Of a publish: what stands in its way.
pub(super) const PUBLISH: [Refusal; 11] = [
    refusal(403, "signature-missing", "Not published: this host takes signed components only."),
    refusal(403, "signature-invalid", "Not published: the signature is by no trusted key."),
    refusal(408, "body-not-received", "The body did not come in whole."),
    refusal(409, "version-taken", "Not published: this version is taken by another digest."),
    refusal(409, "job-type-taken", "Not published: another plugin owns the job type."),
    refusal(409, "release-quarantined", "Not published: the release is in quarantine."),
    refusal(409, "plugin-retiring", "Not published: the plugin is being retired."),
    refusal(409, "verify-failed", "Not published: recorded jobs end differently with it."),
    refusal(413, "payload-too-large", "The body may have at most 33554432 bytes."),
    refusal(413, "too-large", "Not published: the component is too large."),
    refusal(415, "unsupported-media-type", "The body must be a component, as application/wasm."),
];

/// Why a release that is stored is not made the one that serves.
pub(super) const ACTIVATE: [Refusal; 6] = [
    refusal(409, "release-cannot-run", "Nothing was changed: it does not link."),
    refusal(409, "verify-failed", "Nothing was changed: recorded jobs end differently with it."),
    refusal(409, "already-active", "This release serves already."),
    refusal(409, "plugin-retiring", "The plugin is being retired."),
    refusal(409, "release-quarantined", "The release is in quarantine."),
    refusal(409, "just-changed", "Another change came first; look, and ask again."),
];

/// Why a job that ended is not begun again.
pub(super) const RETRY: [Refusal; 11] = [
    refusal(409, "not-dead", "The job is completed; only a dead one is retried."),
    refusal(409, "unknown-outcome", "An effect of it is in doubt: resolve it first."),
    refusal(409, "invalid", "Its payload was never one of its type."),
    refusal(409, "tier-changed", "Its queue is of another tier now."),
    refusal(409, "no-release", "No release serves \"x\" now."),
    refusal(409, "wrong-release", "The release has no such job type."),
    refusal(409, "release-never-served", "The release has never served."),
    refusal(409, "release-quarantined", "The release is in quarantine."),
    refusal(409, "payload-refused", "The release's schema refuses the payload."),
    refusal(409, "key-taken", "Another job holds its key."),
    refusal(409, "key-used", "Another job has used its key since."),
];
