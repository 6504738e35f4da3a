"""Contains all the data models used in inputs/outputs"""

from .activate import Activate
from .alert import Alert
from .alert_in_full import AlertInFull
from .alert_in_full_history_item import AlertInFullHistoryItem
from .alert_page import AlertPage
from .audit_entry import AuditEntry
from .audit_page import AuditPage
from .batch import Batch
from .batch_answer import BatchAnswer
from .batch_item import BatchItem
from .batch_item_metadata_type_0 import BatchItemMetadataType0
from .batch_outcome import BatchOutcome
from .batch_outcome_outcome import BatchOutcomeOutcome
from .bulk import Bulk
from .bulk_preview import BulkPreview
from .bulk_retry import BulkRetry
from .bulk_started import BulkStarted
from .cache_numbers import CacheNumbers
from .cache_stats import CacheStats
from .cache_stats_caches import CacheStatsCaches
from .caches_flushed import CachesFlushed
from .caches_flushed_flushed_item import CachesFlushedFlushedItem
from .cancel_requested import CancelRequested
from .cancelled import Cancelled
from .change_endpoint import ChangeEndpoint
from .change_endpoint_state_type_1 import ChangeEndpointStateType1
from .change_endpoint_state_type_2_type_1 import ChangeEndpointStateType2Type1
from .change_endpoint_state_type_3_type_1 import ChangeEndpointStateType3Type1
from .clear_queue import ClearQueue
from .dead_filter import DeadFilter
from .delivery import Delivery
from .delivery_page import DeliveryPage
from .effect import Effect
from .effect_page import EffectPage
from .effect_resolved import EffectResolved
from .endpoint import Endpoint
from .endpoint_created import EndpointCreated
from .endpoint_page import EndpointPage
from .endpoint_rotated import EndpointRotated
from .finding import Finding
from .flush_caches import FlushCaches
from .flush_caches_caches_type_0_item import FlushCachesCachesType0Item
from .follow_events_state import FollowEventsState
from .follow_job_state import FollowJobState
from .health import Health
from .health_part import HealthPart
from .health_parts import HealthParts
from .health_status import HealthStatus
from .job import Job
from .job_page import JobPage
from .job_state import JobState
from .limit import Limit
from .limit_list import LimitList
from .limit_set import LimitSet
from .list_alerts_severity import ListAlertsSeverity
from .list_alerts_state import ListAlertsState
from .list_deliveries_state import ListDeliveriesState
from .list_effects_state import ListEffectsState
from .list_jobs_state import ListJobsState
from .live import Live
from .migrate import Migrate
from .migrated import Migrated
from .migrated_left_because import MigratedLeftBecause
from .new_endpoint import NewEndpoint
from .new_revocation import NewRevocation
from .new_service_key import NewServiceKey
from .new_service_key_role_type_1 import NewServiceKeyRoleType1
from .new_service_key_role_type_2_type_1 import NewServiceKeyRoleType2Type1
from .new_service_key_role_type_3_type_1 import NewServiceKeyRoleType3Type1
from .nothing import Nothing
from .open_api import OpenApi
from .outlived_job import OutlivedJob
from .pause import Pause
from .pause_provider import PauseProvider
from .pause_provider_name import PauseProviderName
from .pinged import Pinged
from .plugin import Plugin
from .plugin_list import PluginList
from .plugin_next import PluginNext
from .plugin_nodes_item import PluginNodesItem
from .plugin_ready import PluginReady
from .plugin_state import PluginState
from .priority import Priority
from .problem import Problem
from .provider_list import ProviderList
from .provider_paused import ProviderPaused
from .published import Published
from .published_state import PublishedState
from .published_verified_type_0 import PublishedVerifiedType0
from .queue import Queue
from .queue_cleared import QueueCleared
from .queue_cleared_kept import QueueClearedKept
from .queue_counts import QueueCounts
from .queue_list import QueueList
from .queue_paused import QueuePaused
from .queue_today import QueueToday
from .rate_limit import RateLimit
from .rate_limit_list import RateLimitList
from .rate_limit_set import RateLimitSet
from .rate_limit_source import RateLimitSource
from .ready import Ready
from .ready_parts import ReadyParts
from .receive_stripe_event_body import ReceiveStripeEventBody
from .refusal import Refusal
from .release_changed import ReleaseChanged
from .release_changed_state import ReleaseChangedState
from .release_changed_verified_type_0 import ReleaseChangedVerifiedType0
from .release_in_history import ReleaseInHistory
from .release_page import ReleasePage
from .replay import Replay
from .replayed import Replayed
from .resolve_effect import ResolveEffect
from .resolve_effect_outcome import ResolveEffectOutcome
from .resume_provider_name import ResumeProviderName
from .retire import Retire
from .retire_mode import RetireMode
from .retiring import Retiring
from .retry import Retry
from .revocation import Revocation
from .revocation_page import RevocationPage
from .rollback import Rollback
from .service_key import ServiceKey
from .service_key_created import ServiceKeyCreated
from .service_key_page import ServiceKeyPage
from .service_key_role import ServiceKeyRole
from .service_key_rotated import ServiceKeyRotated
from .set_limit import SetLimit
from .set_rate_limit import SetRateLimit
from .silence import Silence
from .stripe_taken import StripeTaken
from .submit import Submit
from .submit_metadata_type_0 import SubmitMetadataType0
from .usage_day import UsageDay
from .usage_list import UsageList

__all__ = (
    "Activate",
    "Alert",
    "AlertInFull",
    "AlertInFullHistoryItem",
    "AlertPage",
    "AuditEntry",
    "AuditPage",
    "Batch",
    "BatchAnswer",
    "BatchItem",
    "BatchItemMetadataType0",
    "BatchOutcome",
    "BatchOutcomeOutcome",
    "Bulk",
    "BulkPreview",
    "BulkRetry",
    "BulkStarted",
    "CacheNumbers",
    "CacheStats",
    "CacheStatsCaches",
    "CachesFlushed",
    "CachesFlushedFlushedItem",
    "CancelRequested",
    "Cancelled",
    "ChangeEndpoint",
    "ChangeEndpointStateType1",
    "ChangeEndpointStateType2Type1",
    "ChangeEndpointStateType3Type1",
    "ClearQueue",
    "DeadFilter",
    "Delivery",
    "DeliveryPage",
    "Effect",
    "EffectPage",
    "EffectResolved",
    "Endpoint",
    "EndpointCreated",
    "EndpointPage",
    "EndpointRotated",
    "Finding",
    "FlushCaches",
    "FlushCachesCachesType0Item",
    "FollowEventsState",
    "FollowJobState",
    "Health",
    "HealthPart",
    "HealthParts",
    "HealthStatus",
    "Job",
    "JobPage",
    "JobState",
    "Limit",
    "LimitList",
    "LimitSet",
    "ListAlertsSeverity",
    "ListAlertsState",
    "ListDeliveriesState",
    "ListEffectsState",
    "ListJobsState",
    "Live",
    "Migrate",
    "Migrated",
    "MigratedLeftBecause",
    "NewEndpoint",
    "NewRevocation",
    "NewServiceKey",
    "NewServiceKeyRoleType1",
    "NewServiceKeyRoleType2Type1",
    "NewServiceKeyRoleType3Type1",
    "Nothing",
    "OpenApi",
    "OutlivedJob",
    "Pause",
    "PauseProvider",
    "PauseProviderName",
    "Pinged",
    "Plugin",
    "PluginList",
    "PluginNext",
    "PluginNodesItem",
    "PluginReady",
    "PluginState",
    "Priority",
    "Problem",
    "ProviderList",
    "ProviderPaused",
    "Published",
    "PublishedState",
    "PublishedVerifiedType0",
    "Queue",
    "QueueCleared",
    "QueueClearedKept",
    "QueueCounts",
    "QueueList",
    "QueuePaused",
    "QueueToday",
    "RateLimit",
    "RateLimitList",
    "RateLimitSet",
    "RateLimitSource",
    "Ready",
    "ReadyParts",
    "ReceiveStripeEventBody",
    "Refusal",
    "ReleaseChanged",
    "ReleaseChangedState",
    "ReleaseChangedVerifiedType0",
    "ReleaseInHistory",
    "ReleasePage",
    "Replay",
    "Replayed",
    "ResolveEffect",
    "ResolveEffectOutcome",
    "ResumeProviderName",
    "Retire",
    "RetireMode",
    "Retiring",
    "Retry",
    "Revocation",
    "RevocationPage",
    "Rollback",
    "ServiceKey",
    "ServiceKeyCreated",
    "ServiceKeyPage",
    "ServiceKeyRole",
    "ServiceKeyRotated",
    "SetLimit",
    "SetRateLimit",
    "Silence",
    "StripeTaken",
    "Submit",
    "SubmitMetadataType0",
    "UsageDay",
    "UsageList",
)
