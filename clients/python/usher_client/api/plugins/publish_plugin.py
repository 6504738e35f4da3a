from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.published import Published
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: str,
    activate: bool | Unset = UNSET,
    unverified: bool | Unset = UNSET,
    usher_signature: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(usher_signature, Unset):
        headers["Usher-Signature"] = usher_signature

    params: dict[str, Any] = {}

    params["activate"] = activate

    params["unverified"] = unverified

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/plugins",
        "params": params,
    }

    _kwargs["content"] = body.payload
    headers["Content-Type"] = "application/wasm"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | Published | None:
    if response.status_code == 200:
        response_200 = Published.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = Published.from_dict(response.json())

        return response_201

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
) -> Response[Problem | Published]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: str,
    activate: bool | Unset = UNSET,
    unverified: bool | Unset = UNSET,
    usher_signature: str | Unset = UNSET,
) -> Response[Problem | Published]:
    """Publish a component

     201 for a new release, 200 for bytes that are there.

    Args:
        activate (bool | Unset):
        unverified (bool | Unset):
        usher_signature (str | Unset):
        body (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Published]
    """

    kwargs = _get_kwargs(
        body=body,
        activate=activate,
        unverified=unverified,
        usher_signature=usher_signature,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: str,
    activate: bool | Unset = UNSET,
    unverified: bool | Unset = UNSET,
    usher_signature: str | Unset = UNSET,
) -> Problem | Published | None:
    """Publish a component

     201 for a new release, 200 for bytes that are there.

    Args:
        activate (bool | Unset):
        unverified (bool | Unset):
        usher_signature (str | Unset):
        body (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Published
    """

    return sync_detailed(
        client=client,
        body=body,
        activate=activate,
        unverified=unverified,
        usher_signature=usher_signature,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: str,
    activate: bool | Unset = UNSET,
    unverified: bool | Unset = UNSET,
    usher_signature: str | Unset = UNSET,
) -> Response[Problem | Published]:
    """Publish a component

     201 for a new release, 200 for bytes that are there.

    Args:
        activate (bool | Unset):
        unverified (bool | Unset):
        usher_signature (str | Unset):
        body (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Published]
    """

    kwargs = _get_kwargs(
        body=body,
        activate=activate,
        unverified=unverified,
        usher_signature=usher_signature,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: str,
    activate: bool | Unset = UNSET,
    unverified: bool | Unset = UNSET,
    usher_signature: str | Unset = UNSET,
) -> Problem | Published | None:
    """Publish a component

     201 for a new release, 200 for bytes that are there.

    Args:
        activate (bool | Unset):
        unverified (bool | Unset):
        usher_signature (str | Unset):
        body (str):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Published
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            activate=activate,
            unverified=unverified,
            usher_signature=usher_signature,
        )
    ).parsed
