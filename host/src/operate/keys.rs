use chrono::{DateTime, Utc};
use serde_json::json;

use super::{OperateError, Operator};
use crate::{
    audit,
    auth::{
        ServiceKeys,
        service::{NewServiceKey, ServiceKey, store},
    },
    ids::KeyId,
};

/// What a rotation brought about.
#[derive(Clone, Copy, Debug)]
pub struct RotatedKey {
    pub generation: i32,
    /// Until when the secret before is good, too.
    pub previous_until: DateTime<Utc>,
}

impl Operator {
    /// This node knows of a change when it answers, here and below; the others within moments.
    pub async fn create_key(
        &self,
        keys: &ServiceKeys,
        new: &NewServiceKey,
        by: &str,
    ) -> Result<ServiceKey, OperateError> {
        let mut tx = self.pool.begin_durable("").await?;
        let key = store::create(&mut tx, new, by).await?;
        let detail = json!({ "name": key.name, "role": key.role, "tenants": key.tenants, "jobTypes": key.job_types });
        audit::write(&mut tx, by, None, "key.create", &target(key.id), detail).await?;
        store::tell(&mut tx).await?;
        tx.commit().await?;
        keys.refresh().await?;
        Ok(key)
    }

    pub async fn key(&self, id: KeyId) -> Result<ServiceKey, OperateError> {
        let mut db = self.pool.read().await?;
        store::get(&mut db, id).await?.ok_or(OperateError::NoKey)
    }

    /// In order of their ids, from the one after `after` on.
    pub async fn keys(&self, after: Option<KeyId>, limit: i64) -> Result<Vec<ServiceKey>, OperateError> {
        let mut db = self.pool.read().await?;
        Ok(store::list(&mut db, after, limit).await?)
    }

    pub async fn rotate_key(&self, keys: &ServiceKeys, id: KeyId, by: &str) -> Result<RotatedKey, OperateError> {
        let mut tx = self.pool.begin_durable("").await?;
        let Some((generation, previous_until)) = store::rotate(&mut tx, id, keys.overlap()).await? else {
            let Some(key) = store::get(&mut tx, id).await? else { return Err(OperateError::NoKey) };
            let message = format!("The key \"{}\" is revoked, and stays so. Make another one.", key.name);
            return Err(OperateError::conflict("key-revoked", message));
        };
        let detail = json!({ "generation": generation, "previousUntil": previous_until });
        audit::write(&mut tx, by, None, "key.rotate", &target(id), detail).await?;
        store::tell(&mut tx).await?;
        tx.commit().await?;
        keys.refresh().await?;
        Ok(RotatedKey { generation, previous_until })
    }

    /// Its signatures are good no more: here at once, elsewhere within a beat. A second time changes nothing.
    pub async fn revoke_key(&self, keys: &ServiceKeys, id: KeyId, by: &str) -> Result<(), OperateError> {
        let mut tx = self.pool.begin_durable("").await?;
        if !store::revoke(&mut tx, id, by).await? {
            return store::get(&mut tx, id).await?.map(drop).ok_or(OperateError::NoKey);
        }
        audit::write(&mut tx, by, None, "key.revoke", &target(id), json!({})).await?;
        store::tell(&mut tx).await?;
        tx.commit().await?;
        keys.refresh().await?;
        Ok(())
    }
}

fn target(id: KeyId) -> String {
    format!("key/{id}")
}
