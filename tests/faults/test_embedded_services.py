"""MongoDB and Redis as the tests and `serve` use them."""

from pymongo import MongoClient
from redis import Redis as Client

from fhir_server.settings import Settings


def test_mongodb_commits_transactions_with_majority(settings: Settings) -> None:
    """A transaction over two collections is acknowledged by the majority."""
    with MongoClient[dict[str, object]](settings.mongodb_url) as client:
        database = client[f"{settings.database_prefix}_x"]
        with client.start_session() as session, session.start_transaction():
            database["a"].insert_one({"_id": 1}, session=session)
            database["b"].insert_one({"_id": 1}, session=session)
        assert (database["a"].count_documents({}), database["b"].count_documents({})) == (1, 1)


def test_mongodb_does_not_log_what_slow_searches_ask(settings: Settings) -> None:
    """A slow command would be logged with its values, the names of patients among them."""
    an_hour = 3_600_000
    with MongoClient[dict[str, object]](settings.mongodb_url) as client:
        assert client["admin"].command({"profile": -1})["slowms"] >= an_hour


def test_redis_never_evicts(settings: Settings) -> None:
    """Redis refuses writes rather than forget queued work."""
    assert settings.redis_url is not None
    with Client.from_url(settings.redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
