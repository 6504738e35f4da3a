from http import HTTPStatus
from typing import Any, cast

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.follow_events_state import FollowEventsState
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    type_: str | Unset = UNSET,
    state: FollowEventsState | Unset = UNSET,
    tenant: str | Unset = UNSET,
    last_event_id: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(last_event_id, Unset):
        headers["Last-Event-ID"] = last_event_id

    params: dict[str, Any] = {}

    params["type"] = type_

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state.value

    params["state"] = json_state

    params["tenant"] = tenant

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/events",
        "params": params,
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | Problem | None:
    if response.status_code == 200:
        response_200 = cast(Any, response.text)
        return response_200

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 414:
        response_414 = Problem.from_dict(response.json())

        return response_414

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 431:
        response_431 = Problem.from_dict(response.json())

        return response_431

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Any | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    type_: str | Unset = UNSET,
    state: FollowEventsState | Unset = UNSET,
    tenant: str | Unset = UNSET,
    last_event_id: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """What happens to jobs, as it happens

     Server-sent events of the caller's own tenant; an admin sees all. Submits and ends come from the
    outbox and are resumed by `Last-Event-ID` without a gap; what runs, progress and log lines are told
    by the way.

    Args:
        type_ (str | Unset):
        state (FollowEventsState | Unset):
        tenant (str | Unset):
        last_event_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        type_=type_,
        state=state,
        tenant=tenant,
        last_event_id=last_event_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    type_: str | Unset = UNSET,
    state: FollowEventsState | Unset = UNSET,
    tenant: str | Unset = UNSET,
    last_event_id: str | Unset = UNSET,
) -> Any | Problem | None:
    """What happens to jobs, as it happens

     Server-sent events of the caller's own tenant; an admin sees all. Submits and ends come from the
    outbox and are resumed by `Last-Event-ID` without a gap; what runs, progress and log lines are told
    by the way.

    Args:
        type_ (str | Unset):
        state (FollowEventsState | Unset):
        tenant (str | Unset):
        last_event_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return sync_detailed(
        client=client,
        type_=type_,
        state=state,
        tenant=tenant,
        last_event_id=last_event_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    type_: str | Unset = UNSET,
    state: FollowEventsState | Unset = UNSET,
    tenant: str | Unset = UNSET,
    last_event_id: str | Unset = UNSET,
) -> Response[Any | Problem]:
    """What happens to jobs, as it happens

     Server-sent events of the caller's own tenant; an admin sees all. Submits and ends come from the
    outbox and are resumed by `Last-Event-ID` without a gap; what runs, progress and log lines are told
    by the way.

    Args:
        type_ (str | Unset):
        state (FollowEventsState | Unset):
        tenant (str | Unset):
        last_event_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Problem]
    """

    kwargs = _get_kwargs(
        type_=type_,
        state=state,
        tenant=tenant,
        last_event_id=last_event_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    type_: str | Unset = UNSET,
    state: FollowEventsState | Unset = UNSET,
    tenant: str | Unset = UNSET,
    last_event_id: str | Unset = UNSET,
) -> Any | Problem | None:
    """What happens to jobs, as it happens

     Server-sent events of the caller's own tenant; an admin sees all. Submits and ends come from the
    outbox and are resumed by `Last-Event-ID` without a gap; what runs, progress and log lines are told
    by the way.

    Args:
        type_ (str | Unset):
        state (FollowEventsState | Unset):
        tenant (str | Unset):
        last_event_id (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            type_=type_,
            state=state,
            tenant=tenant,
            last_event_id=last_event_id,
        )
    ).parsed
