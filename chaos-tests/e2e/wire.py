"""Calls as they go over the wire: any body, signed, and the answer's raw JSON beside what boto3 makes of it."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

TARGET = "AmazonEC2ContainerServiceV20141113"
CONTENT_TYPE = "application/x-amz-json-1.1"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> str:
        """The error's type, without a namespace before it or an address behind it."""
        return self.body.get("__type", "").rsplit("#", 1)[-1].split(":", 1)[0]

    @property
    def message(self) -> str:
        return self.body.get("message", self.body.get("Message", ""))


class Wire:
    def __init__(self, variables: dict[str, str]):
        self.endpoint = variables["AWS_ENDPOINT_URL"]
        self.region = variables["AWS_REGION"]
        self.credentials = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])

    def call(self, operation: str, body: Any, content_type: str = CONTENT_TYPE) -> Answer:
        """One call; `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": content_type}
        request = AWSRequest("POST", self.endpoint + "/", data=data, headers=headers)
        SigV4Auth(self.credentials, "ecs", self.region).add_auth(request)
        sent = urllib.request.Request(self.endpoint + "/", data, dict(request.headers), method="POST")
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), json.loads(error.read()))

    def done(self, operation: str, body: Any) -> Any:
        """The body of an answer that is no error."""
        answer = self.call(operation, body)
        assert answer.status == 200, f"{operation} {body}: {answer}"
        return answer.body

    def client(self, validate: bool = True, service: str = "ecs"):
        """boto3's client; without validation it sends what it is given."""
        config = Config(parameter_validation=validate, retries={"total_max_attempts": 1})
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            config=config,
        )
