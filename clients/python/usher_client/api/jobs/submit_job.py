from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.job import Job
from ...models.outlived_job import OutlivedJob
from ...models.problem import Problem
from ...models.submit import Submit
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: Submit,
    prefer: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(prefer, Unset):
        headers["Prefer"] = prefer

    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/jobs",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Job | OutlivedJob | Problem | None:
    if response.status_code == 200:

        def _parse_response_200(data: object) -> Job | OutlivedJob:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_submitted_type_0 = Job.from_dict(data)

                return componentsschemas_submitted_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_submitted_type_1 = OutlivedJob.from_dict(data)

            return componentsschemas_submitted_type_1

        response_200 = _parse_response_200(response.json())

        return response_200

    if response.status_code == 202:

        def _parse_response_202(data: object) -> Job | OutlivedJob:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_submitted_type_0 = Job.from_dict(data)

                return componentsschemas_submitted_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_submitted_type_1 = OutlivedJob.from_dict(data)

            return componentsschemas_submitted_type_1

        response_202 = _parse_response_202(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 408:
        response_408 = Problem.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 414:
        response_414 = Problem.from_dict(response.json())

        return response_414

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

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
) -> Response[Job | OutlivedJob | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: Submit,
    prefer: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Job | OutlivedJob | Problem]:
    """Submit a job

     202 for a new job, or one that a derived key found (`deduplicated`); 200 with `Idempotency-Replayed`
    for a repeat under the caller's own key. `tenant` is for admins, and for services within their key's
    tenants.

    Args:
        prefer (str | Unset):
        idempotency_key (str | Unset):
        body (Submit):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Job | OutlivedJob | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        prefer=prefer,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: Submit,
    prefer: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Job | OutlivedJob | Problem | None:
    """Submit a job

     202 for a new job, or one that a derived key found (`deduplicated`); 200 with `Idempotency-Replayed`
    for a repeat under the caller's own key. `tenant` is for admins, and for services within their key's
    tenants.

    Args:
        prefer (str | Unset):
        idempotency_key (str | Unset):
        body (Submit):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job | OutlivedJob | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
        prefer=prefer,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: Submit,
    prefer: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Job | OutlivedJob | Problem]:
    """Submit a job

     202 for a new job, or one that a derived key found (`deduplicated`); 200 with `Idempotency-Replayed`
    for a repeat under the caller's own key. `tenant` is for admins, and for services within their key's
    tenants.

    Args:
        prefer (str | Unset):
        idempotency_key (str | Unset):
        body (Submit):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Job | OutlivedJob | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        prefer=prefer,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: Submit,
    prefer: str | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Job | OutlivedJob | Problem | None:
    """Submit a job

     202 for a new job, or one that a derived key found (`deduplicated`); 200 with `Idempotency-Replayed`
    for a repeat under the caller's own key. `tenant` is for admins, and for services within their key's
    tenants.

    Args:
        prefer (str | Unset):
        idempotency_key (str | Unset):
        body (Submit):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job | OutlivedJob | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            prefer=prefer,
            idempotency_key=idempotency_key,
        )
    ).parsed
