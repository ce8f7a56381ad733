"""A SMART Backend Services client: signs an assertion, gets a token.

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc.jwk import ECKey

from fhir_server.client.connection import Connection

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 120


@dataclass(frozen=True, slots=True)
class BackendClient:
    """A client with its private key (ES384).

    Attributes:
        client_id: as registered.
        key: the key pair; its public half is registered with the server.
        scope: what the client asks for.
    """

    client_id: str
    key: ECKey
    scope: str

    @classmethod
    def with_new_key(cls, client_id: str, scope: str) -> "BackendClient":
        """A client with a key of its own."""
        key = ECKey.generate_key("P-384", {"kid": f"{client_id}-1", "use": "sig", "alg": "ES384"})
        return cls(client_id, key, scope)

    @property
    def jwks(self) -> Mapping[str, object]:
        """The public key set to register."""
        return {"keys": [self.key.as_dict(private=False)]}

    def assertion(self, token_url: str, now: datetime) -> str:
        """The signed statement of who asks, good for one use within two minutes.

        Authlib makes it: what a foreign client's library signs is what the server must take.
        """
        signed: str = private_key_jwt_sign(
            self.key,
            self.client_id,
            token_url,
            alg="ES384",
            header={"kid": self.key.kid, "typ": "JWT"},
            issued_at=int(now.timestamp()),
            expires_in=ASSERTION_SECONDS,
        )
        return signed

    async def sign_in(self, connection: Connection, now: datetime) -> int:
        """Gets a token and gives it to the connection; answers its life in seconds.

        Raises:
            PermissionError: the server did not give one.
        """
        discovery = await connection.request("GET", ".well-known/smart-configuration")
        token_url = discovery.resource["token_endpoint"]
        answer = await connection.form(
            token_url,
            {
                "grant_type": "client_credentials",
                "scope": self.scope,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self.assertion(token_url, now),
            },
        )
        if answer.status != 200:
            raise PermissionError(answer.body.decode(errors="replace"))
        connection.token = answer.resource["access_token"]
        return int(answer.resource["expires_in"])
