use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Bell, Delivery, PING, Page, event, store};
use crate::{
    audit,
    config::Secret,
    db::Pool,
    egress::{Egress, Refused},
    ids::{DeliveryId, EndpointId, is_event_type},
    signature::WebhookSecret,
};

/// Endpoints of one tenant.
const MAX_ENDPOINTS: i64 = 50;
/// Event types that one endpoint may name.
const MAX_TYPES: usize = 100;
const MAX_DESCRIPTION: usize = 256;
/// Deliveries of one replay.
const MAX_REPLAY: i64 = 10_000;

/// Where a tenant wants its events.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    pub id: EndpointId,
    pub tenant: String,
    pub url: String,
    /// Empty: all.
    pub events: Vec<String>,
    pub description: String,
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Until when the secret before the current one signs, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub changed_at: DateTime<Utc>,
    #[serde(skip)]
    pub generation: i32,
}

#[derive(Debug)]
pub struct NewEndpoint {
    pub tenant: String,
    pub url: String,
    pub events: Vec<String>,
    pub description: String,
    /// Who makes it.
    pub by: String,
}

/// What is to be another; `None` stays.
#[derive(Debug, Default)]
pub struct Change {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

/// A new secret, and until when the one before signs beside it.
#[derive(Debug)]
pub struct Rotated {
    pub secret: String,
    pub previous_until: DateTime<Utc>,
}

/// What is to be sent once more.
#[derive(Clone, Copy, Debug)]
pub enum Replay {
    One(DeliveryId),
    /// Of what happened since then: what failed, or all.
    Since {
        since: DateTime<Utc>,
        delivered: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("there is no such endpoint")]
    NotFound,
    #[error("there is no such delivery")]
    NoDelivery,
    #[error("the endpoint is disabled")]
    Disabled,
    #[error("a tenant has at most {MAX_ENDPOINTS} endpoints")]
    TooMany,
    #[error("the field {field} {message}")]
    Field { field: &'static str, message: String },
    #[error("the database could not do it")]
    Database(#[from] sqlx::Error),
}

fn field(field: &'static str, message: impl Into<String>) -> WebhookError {
    WebhookError::Field { field, message: message.into() }
}

/// What somebody did to an endpoint, in the transaction that does it.
async fn write(
    db: &mut PgConnection,
    by: &str,
    tenant: &str,
    action: &str,
    id: EndpointId,
    detail: serde_json::Value,
) -> sqlx::Result<()> {
    let (action, target) = (format!("webhook-endpoint.{action}"), format!("webhook-endpoint/{id}"));
    audit::write(db, by, Some(tenant), &action, &target, detail).await
}

/// What people do with endpoints. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    pub pool: Pool,
    pub egress: Arc<Egress>,
    /// All secrets are derived from it.
    pub key: Secret,
    pub overlap: Duration,
    pub bell: Bell,
}

impl Webhooks {
    /// The endpoint and its secret, which is given out here and nowhere else.
    pub async fn create(&self, new: NewEndpoint) -> Result<(Endpoint, String), WebhookError> {
        check_events(&new.events)?;
        check_description(&new.description)?;
        self.check_url(&new.url).await?;
        let mut tx = self.pool.begin().await?;
        let endpoint = store::create(&mut tx, &new, MAX_ENDPOINTS).await?.ok_or(WebhookError::TooMany)?;
        let detail = json!({ "events": endpoint.events });
        write(&mut tx, &new.by, &endpoint.tenant, "create", endpoint.id, detail).await?;
        tx.commit().await?;
        let secret = self.secret(endpoint.id, endpoint.generation).reveal();
        Ok((endpoint, secret))
    }

    /// `tenant`: restricts to its own, here and below.
    pub async fn get(&self, id: EndpointId, tenant: Option<&str>) -> Result<Endpoint, WebhookError> {
        let mut db = self.pool.read().await?;
        store::endpoint(&mut db, id, tenant).await?.ok_or(WebhookError::NotFound)
    }

    /// In order of their ids, from the one after `after` on.
    pub async fn list(
        &self,
        tenant: Option<&str>,
        after: Option<EndpointId>,
        limit: i64,
    ) -> Result<Vec<Endpoint>, WebhookError> {
        let mut db = self.pool.read().await?;
        Ok(store::endpoints(&mut db, tenant, after, limit).await?)
    }

    pub async fn change(
        &self,
        id: EndpointId,
        tenant: Option<&str>,
        change: Change,
        by: &str,
    ) -> Result<Endpoint, WebhookError> {
        if let Some(events) = &change.events {
            check_events(events)?;
        }
        if let Some(description) = &change.description {
            check_description(description)?;
        }
        // Before a name is looked up for somebody who may not even see it.
        let before = self.get(id, tenant).await?;
        if let Some(url) = change.url.as_ref().filter(|url| **url != before.url) {
            self.check_url(url).await?;
        }
        let mut tx = self.pool.begin().await?;
        let after = store::change(&mut tx, id, tenant, &change).await?.ok_or(WebhookError::NotFound)?;
        // A URL may hold somebody's token.
        let detail = json!({ "url": change.url.is_some(), "events": change.events, "state": after.state });
        write(&mut tx, by, &after.tenant, "change", id, detail).await?;
        tx.commit().await?;
        self.bell.ring();
        Ok(after)
    }

    /// What is on its way to it goes with it.
    pub async fn delete(&self, id: EndpointId, tenant: Option<&str>, by: &str) -> Result<(), WebhookError> {
        let mut tx = self.pool.begin().await?;
        let gone = store::endpoint(&mut tx, id, tenant).await?.ok_or(WebhookError::NotFound)?;
        if !store::delete(&mut tx, id, tenant).await? {
            return Err(WebhookError::NotFound);
        }
        write(&mut tx, by, &gone.tenant, "delete", id, json!({})).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The secret of the next generation signs from now on, beside the current one for a while.
    pub async fn rotate(&self, id: EndpointId, tenant: Option<&str>, by: &str) -> Result<Rotated, WebhookError> {
        let mut tx = self.pool.begin().await?;
        let endpoint = store::endpoint(&mut tx, id, tenant).await?.ok_or(WebhookError::NotFound)?;
        let rotated = store::rotate(&mut tx, id, tenant, self.overlap).await?;
        let (generation, previous_until) = rotated.ok_or(WebhookError::NotFound)?;
        let detail = json!({ "generation": generation, "previousUntil": previous_until });
        write(&mut tx, by, &endpoint.tenant, "rotate", id, detail).await?;
        tx.commit().await?;
        Ok(Rotated { secret: self.secret(id, generation).reveal(), previous_until })
    }

    /// A test event for this endpoint alone; the id of its delivery.
    pub async fn ping(&self, id: EndpointId, tenant: Option<&str>) -> Result<DeliveryId, WebhookError> {
        let endpoint = self.enabled(id, tenant).await?;
        let delivery = DeliveryId(Uuid::now_v7());
        let body = event::body(PING, Utc::now(), &json!({ "endpoint": id }).to_string());
        let mut db = self.pool.write().await?;
        store::insert_ping(&mut db, delivery, &endpoint, &body).await?;
        db.done().await?;
        self.bell.ring();
        Ok(delivery)
    }

    /// Sends once more, under the same ids. Returns how many; there may be more where it is as many as one replay takes.
    pub async fn replay(
        &self,
        id: EndpointId,
        tenant: Option<&str>,
        what: Replay,
        by: &str,
    ) -> Result<u64, WebhookError> {
        let endpoint = self.enabled(id, tenant).await?;
        let mut tx = self.pool.begin().await?;
        let count = match what {
            Replay::One(delivery) => match store::replay_one(&mut tx, id, delivery).await? {
                0 => return Err(WebhookError::NoDelivery),
                count => count,
            },
            Replay::Since { since, delivered } => {
                store::replay_since(&mut tx, id, since, delivered, MAX_REPLAY).await?
            }
        };
        if count > 0 {
            write(&mut tx, by, &endpoint.tenant, "replay", id, json!({ "replayed": count })).await?;
        }
        tx.commit().await?;
        self.bell.ring();
        Ok(count)
    }

    pub async fn deliveries(
        &self,
        id: EndpointId,
        tenant: Option<&str>,
        page: &Page,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.get(id, tenant).await?;
        let mut db = self.pool.read().await?;
        Ok(store::deliveries(&mut db, id, page).await?)
    }

    pub fn secret(&self, id: EndpointId, generation: i32) -> WebhookSecret {
        WebhookSecret::derive(self.key.expose(), id.0, generation)
    }

    async fn enabled(&self, id: EndpointId, tenant: Option<&str>) -> Result<Endpoint, WebhookError> {
        let endpoint = self.get(id, tenant).await?;
        if endpoint.state == "enabled" { Ok(endpoint) } else { Err(WebhookError::Disabled) }
    }

    async fn check_url(&self, url: &str) -> Result<(), WebhookError> {
        self.egress.check(url).await.map_err(|refused: Refused| field("url", refused.to_string()))
    }
}

fn check_events(events: &[String]) -> Result<(), WebhookError> {
    if events.len() > MAX_TYPES {
        return Err(field("events", format!("names more than {MAX_TYPES} types")));
    }
    match events.iter().find(|name| !is_event_type(name)) {
        Some(_) => Err(field("events", "holds a name that is no event type such as \"payment.completed\"")),
        None => Ok(()),
    }
}

fn check_description(text: &str) -> Result<(), WebhookError> {
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        return Err(field("description", format!("has at most {MAX_DESCRIPTION} characters, no control characters")));
    }
    Ok(())
}
