use std::sync::LazyLock;

use serde_json::Value;
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathsBuilder, Server, Tag,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    tag::TagBuilder,
};

use super::{
    describe::{BEARER, SIGNATURE},
    operations, schemas,
};

const ABOUT: &str = "Services submit jobs; a host runs them in sandboxed components and makes each side effect once.\n\n\
    Every refusal is `application/problem+json` (RFC 9457) with a stable `type`; each operation lists those it has. Another \
    method of a known path is 405 with `Allow`. Lists go on by an opaque cursor: `nextCursor` of one page is `cursor` of the next.";

const OF_BEARER: &str = "A JWT of a configured issuer, with `userId`, `tenantId` (but for admins), `role` and `exp`.";

const OF_SIGNATURE: &str = "An HTTP message signature (RFC 9421) of a service key, `hmac-sha256`: the fields `Signature-Input` and \
    `Signature` over `@method`, `@authority`, `@path`, `@query`, and `content-digest` (RFC 9530), `content-type`, `x-tenant-id` and \
    `idempotency-key` where they are there; parameters `created`, `keyid`, and `nonce` for what changes something. \
    The clients in `clients/` sign so.";

const TAGS: [(&str, &str); 11] = [
    ("jobs", "Submit, look, cancel, begin again."),
    ("events", "What happens to jobs, as it happens."),
    ("queues", "What waits where."),
    ("effects", "Calls of providers, and those whose outcome is in doubt."),
    ("plugins", "Components and their releases."),
    ("webhooks", "Where tenants want their events."),
    ("limits", "How much at once, and how often."),
    ("alerts", "What a person should know."),
    ("keys", "With which services sign."),
    ("audit", "What people did, and tokens that are let in no more."),
    ("host", "This host, and this document."),
];

/// Without the job types of any moment.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

/// Whether there is such an operation; the path as routes are written.
pub fn has(method: &str, path: &str) -> bool {
    let path = path.replace("{*", "{");
    let of_path = document().get("paths").and_then(|paths| paths.get(path));
    of_path.is_some_and(|operations| operations.get(method.to_ascii_lowercase()).is_some())
}

fn make() -> Value {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Usher")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    let paths = operations::all().into_iter().fold(PathsBuilder::new(), |paths, operation| {
        let (path, item) = operation.into_parts();
        paths.path(path, item)
    });
    let document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .paths(paths.build())
        .components(Some(components()))
        .tags(Some(TAGS.map(|(name, about)| tag(name, about))))
        .build();
    // Its keys are strings, so that it always is JSON.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(all) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        all.extend(schemas::written());
    }
    document
}

fn tag(name: &str, about: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(about)).build()
}

fn components() -> Components {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(OF_BEARER));
    // OpenAPI has no word for RFC 9421: it is shown as the field that carries it.
    let signature = ApiKey::Header(ApiKeyValue::with_description("Signature", OF_SIGNATURE));
    schemas::derived(ComponentsBuilder::new())
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(SIGNATURE, SecurityScheme::ApiKey(signature))
        .build()
}
