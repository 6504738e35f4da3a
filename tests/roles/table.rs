//! Who may do what, written by hand from section 8 of docs/design.md and never generated: what the code allows is held against
//! what was meant.

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Let in. What then becomes of it is not about who asks.
    In,
    /// 401.
    Stranger,
    /// 403.
    Forbidden,
    /// 404, as if it were not there.
    Hidden,
}

/// What the request is about; of tenant one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nothing of any tenant.
    Nothing,
    Job,
    Bulk,
    Endpoint,
    Key,
    Alert,
}

/// One who asks. Those of tenant one are asked about what is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Nobody,
    /// With a token that no key of ours signed.
    Forger,
    /// The first four are of tenant one.
    User,
    /// A role that nobody knows is a plain user's.
    UnknownRole,
    VenueAdmin,
    /// Signs its requests; its key is for tenant one.
    Service,
    Admin,
    /// The others are of tenant two.
    OtherUser,
    OtherVenueAdmin,
    OtherService,
}

impl Who {
    /// Whoever changes most comes last.
    pub const ALL: [Self; 10] = [
        Self::Nobody,
        Self::Forger,
        Self::OtherUser,
        Self::OtherVenueAdmin,
        Self::OtherService,
        Self::User,
        Self::UnknownRole,
        Self::VenueAdmin,
        Self::Service,
        Self::Admin,
    ];
}

/// A column of section 8: "who".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Anyone,
    /// Any authenticated caller.
    Caller,
    /// admin, venue_admin (own tenant).
    Changes,
    /// The same, and services.
    ChangesAndServices,
    Admin,
}

/// What becomes of a request by the rule, of somebody who asks about it.
pub fn fate(rule: Rule, about: About, who: Who) -> Fate {
    let by_role = match (rule, who) {
        (Rule::Anyone, _) => Fate::In,
        (_, Who::Nobody | Who::Forger) => Fate::Stranger,
        (_, Who::Admin) | (Rule::Caller, _) => Fate::In,
        (Rule::Changes | Rule::ChangesAndServices, Who::VenueAdmin | Who::OtherVenueAdmin) => Fate::In,
        (Rule::ChangesAndServices, Who::Service | Who::OtherService) => Fate::In,
        (Rule::Changes | Rule::ChangesAndServices | Rule::Admin, _) => Fate::Forbidden,
    };
    // Role first (403), then tenant (another tenant's is a 404).
    let other = matches!(who, Who::OtherUser | Who::OtherVenueAdmin | Who::OtherService);
    match by_role {
        Fate::In if other && about != About::Nothing => Fate::Hidden,
        fate => fate,
    }
}

pub type Row = (&'static str, &'static str, Rule, About);

/// In this order; what takes something away for good stands at the end.
pub const TABLE: &[Row] = &[
    ("GET", "/health", Rule::Anyone, About::Nothing),
    ("GET", "/health/live", Rule::Anyone, About::Nothing),
    ("GET", "/health/ready", Rule::Anyone, About::Nothing),
    ("GET", "/metrics", Rule::Anyone, About::Nothing),
    ("GET", "/cache/stats", Rule::Anyone, About::Nothing),
    ("GET", "/openapi.json", Rule::Anyone, About::Nothing),
    ("GET", "/docs", Rule::Anyone, About::Nothing),
    // Stripe's signature, not ours, lets it in.
    ("POST", "/webhooks/stripe", Rule::Anyone, About::Nothing),
    ("POST", "/jobs", Rule::Caller, About::Nothing),
    ("GET", "/jobs", Rule::Caller, About::Nothing),
    ("GET", "/jobs/{id}", Rule::Caller, About::Job),
    ("GET", "/jobs/{id}/events", Rule::Caller, About::Job),
    ("GET", "/events", Rule::Caller, About::Nothing),
    ("POST", "/jobs/{id}/retry", Rule::Changes, About::Job),
    ("DELETE", "/jobs/{id}", Rule::Changes, About::Job),
    ("POST", "/jobs/batch", BATCH, About::Nothing),
    ("POST", "/jobs/bulk/retry", Rule::Admin, About::Nothing),
    ("GET", "/jobs/bulk/{id}", Rule::Admin, About::Bulk),
    ("GET", "/queues", Rule::Caller, About::Nothing),
    ("GET", "/queues/{name}", Rule::Caller, About::Nothing),
    ("POST", "/queues/{name}/pause", Rule::Admin, About::Nothing),
    ("POST", "/queues/{name}/resume", Rule::Admin, About::Nothing),
    ("POST", "/queues/{name}/clear", Rule::Admin, About::Nothing),
    ("GET", "/limits", Rule::Admin, About::Nothing),
    ("PUT", "/limits/{scope}", Rule::Admin, About::Nothing),
    ("GET", "/rate-limits", Rule::Caller, About::Nothing),
    ("PUT", "/rate-limits/{bucket}", Rule::Admin, About::Nothing),
    ("GET", "/alerts", Rule::Caller, About::Nothing),
    ("GET", "/alerts/{id}", Rule::Caller, About::Alert),
    ("POST", "/alerts/{id}/ack", Rule::Admin, About::Alert),
    ("POST", "/alerts/{id}/silence", Rule::Admin, About::Alert),
    ("POST", "/alerts/{id}/resolve", Rule::Admin, About::Alert),
    ("GET", "/effects", Rule::Caller, About::Nothing),
    ("POST", "/effects/{job}/{seq}/resolve", Rule::Admin, About::Job),
    ("GET", "/providers", Rule::Admin, About::Nothing),
    ("POST", "/providers/{name}/pause", Rule::Admin, About::Nothing),
    ("POST", "/providers/{name}/resume", Rule::Admin, About::Nothing),
    ("GET", "/audit", Rule::Admin, About::Nothing),
    ("POST", "/cache/flush", Rule::Admin, About::Nothing),
    ("GET", "/revocations", Rule::Admin, About::Nothing),
    ("POST", "/revocations", Rule::Admin, About::Nothing),
    ("GET", "/keys", Rule::Admin, About::Nothing),
    ("POST", "/keys", Rule::Admin, About::Nothing),
    ("GET", "/keys/{id}", Rule::Admin, About::Key),
    ("POST", "/keys/{id}/rotate", Rule::Admin, About::Key),
    ("DELETE", "/keys/{id}", Rule::Admin, About::Key),
    ("GET", "/plugins", Rule::Caller, About::Nothing),
    ("GET", "/plugins/{name}", Rule::Caller, About::Nothing),
    ("GET", "/plugins/{name}/releases", Rule::Caller, About::Nothing),
    ("GET", "/plugins/{name}/usage", Rule::Caller, About::Nothing),
    ("POST", "/plugins", Rule::Admin, About::Nothing),
    ("POST", "/plugins/{name}/activate", Rule::Admin, About::Nothing),
    ("POST", "/plugins/{name}/rollback", Rule::Admin, About::Nothing),
    ("POST", "/plugins/{name}/migrate", Rule::Admin, About::Nothing),
    ("DELETE", "/plugins/{name}/releases/{digest}", Rule::Admin, About::Nothing),
    ("GET", "/webhook-endpoints", Rule::Changes, About::Nothing),
    ("POST", "/webhook-endpoints", Rule::Changes, About::Nothing),
    ("GET", "/webhook-endpoints/{id}", Rule::Changes, About::Endpoint),
    ("PATCH", "/webhook-endpoints/{id}", Rule::Changes, About::Endpoint),
    ("DELETE", "/webhook-endpoints/{id}", Rule::Changes, About::Endpoint),
    ("GET", "/webhook-endpoints/{id}/deliveries", Rule::Changes, About::Endpoint),
    ("POST", "/webhook-endpoints/{id}/ping", Rule::Changes, About::Endpoint),
    ("POST", "/webhook-endpoints/{id}/replay", Rule::Changes, About::Endpoint),
    ("POST", "/webhook-endpoints/{id}/rotate", Rule::Changes, About::Endpoint),
    ("POST", "/plugins/{name}/retire", Rule::Admin, About::Nothing),
];

/// Submits of many at once are for services, too.
const BATCH: Rule = Rule::ChangesAndServices;
