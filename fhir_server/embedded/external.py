"""Checks of a MongoDB and a Redis that somebody else runs, before anything depends on them."""

from typing import Any
from urllib.parse import urlsplit

import redis
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI, OperationFailure
from pymongo.uri_parser import parse_uri

from fhir_server.embedded.failures import brief
from fhir_server.operator_error import OperatorError

PATIENCE_MILLISECONDS = 3_000


def check_mongodb(url: str) -> None:
    """Makes sure that transactions can be written there.

    Raises:
        OperatorError: the URL is wrong, nobody answers within 3 s, the credentials are refused,
            or it is no replica set with a primary.
    """
    try:
        where = ",".join(f"{host}:{port}" for host, port in parse_uri(url)["nodelist"])
        client: MongoClient[dict[str, Any]] = MongoClient(
            url,
            serverSelectionTimeoutMS=PATIENCE_MILLISECONDS,
            connectTimeoutMS=PATIENCE_MILLISECONDS,
        )
    except (InvalidURI, ConfigurationError, ValueError) as failure:
        raise OperatorError(
            f"FHIR_SERVER_MONGODB_URL is not legal ({brief(failure)}); "
            "write it as mongodb://HOST:PORT/?replicaSet=NAME"
        ) from failure
    with client:
        try:
            hello = client.admin.command("hello")
            client.admin.command("listDatabases", nameOnly=True)
        except ConnectionFailure as failure:
            raise _unreachable(where, failure) from failure
        except OperationFailure as failure:
            raise OperatorError(
                f"MongoDB at {where} refuses us ({brief(failure)}); "
                "put a user and password into FHIR_SERVER_MONGODB_URL"
            ) from failure
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise _no_replica_set(where)


def check_redis(url: str) -> None:
    """Makes sure that Redis answers.

    Raises:
        OperatorError: the URL is wrong or nobody answers within 3 s.
    """
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
    seconds = PATIENCE_MILLISECONDS / 1000
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=seconds, socket_timeout=seconds
        ) as connection:
            connection.ping()
    except ValueError as failure:
        raise OperatorError(
            f"FHIR_SERVER_REDIS_URL is not legal ({brief(failure)}); write redis://HOST:PORT/0"
        ) from failure
    except redis.RedisError as failure:
        raise OperatorError(
            f"cannot use Redis at {where} ({brief(failure)}); "
            "start it or correct FHIR_SERVER_REDIS_URL"
        ) from failure


def _unreachable(where: str, failure: ConnectionFailure) -> OperatorError:
    text = brief(failure)
    if "replica set" in text.lower() or "replicaset" in text.lower():
        return _no_replica_set(where)
    return OperatorError(
        f"cannot reach MongoDB at {where} ({text}); start it or correct FHIR_SERVER_MONGODB_URL"
    )


def _no_replica_set(where: str) -> OperatorError:
    return OperatorError(
        f"MongoDB at {where} is no replica set, which transactions need; "
        "start mongod with --replSet NAME and run rs.initiate() once"
    )
