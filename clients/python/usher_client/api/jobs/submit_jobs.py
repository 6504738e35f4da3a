from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.batch import Batch
from ...models.batch_answer import BatchAnswer
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    *,
    body: Batch,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/jobs/batch",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> BatchAnswer | Problem | None:
    if response.status_code == 200:
        response_200 = BatchAnswer.from_dict(response.json())

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

    if response.status_code == 408:
        response_408 = Problem.from_dict(response.json())

        return response_408

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
) -> Response[BatchAnswer | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: Batch,
) -> Response[BatchAnswer | Problem]:
    """Submit up to 1,000 jobs

     At most 4 MiB. Each job is taken or refused by itself, and the answer names each in its order, with
    the status that it would have had alone; where none is taken, the answer is an `invalid-batch`. With
    `atomic`, all are taken in one commit, or one that is refused refuses all. Of jobs of one key in a
    request the first is the job. `tenant` is for admins, and for services within their key's tenants.

    Args:
        body (Batch):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BatchAnswer | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: Batch,
) -> BatchAnswer | Problem | None:
    """Submit up to 1,000 jobs

     At most 4 MiB. Each job is taken or refused by itself, and the answer names each in its order, with
    the status that it would have had alone; where none is taken, the answer is an `invalid-batch`. With
    `atomic`, all are taken in one commit, or one that is refused refuses all. Of jobs of one key in a
    request the first is the job. `tenant` is for admins, and for services within their key's tenants.

    Args:
        body (Batch):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BatchAnswer | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: Batch,
) -> Response[BatchAnswer | Problem]:
    """Submit up to 1,000 jobs

     At most 4 MiB. Each job is taken or refused by itself, and the answer names each in its order, with
    the status that it would have had alone; where none is taken, the answer is an `invalid-batch`. With
    `atomic`, all are taken in one commit, or one that is refused refuses all. Of jobs of one key in a
    request the first is the job. `tenant` is for admins, and for services within their key's tenants.

    Args:
        body (Batch):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BatchAnswer | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: Batch,
) -> BatchAnswer | Problem | None:
    """Submit up to 1,000 jobs

     At most 4 MiB. Each job is taken or refused by itself, and the answer names each in its order, with
    the status that it would have had alone; where none is taken, the answer is an `invalid-batch`. With
    `atomic`, all are taken in one commit, or one that is refused refuses all. Of jobs of one key in a
    request the first is the job. `tenant` is for admins, and for services within their key's tenants.

    Args:
        body (Batch):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BatchAnswer | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
