"""Every served operation against AWS's service model: it succeeds on a fixture with an answer of the model's shape, and refuses what
lacks a required member or has a wrong type, with an error that it declares and that names the member."""

import copy
from typing import Any, Iterator

import botocore
import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

from model import PROTOCOL_ERRORS, SERVICE, declared, input_shape, problems, served, wrong_type
from wire import Wire
from world import ALWAYS_REFUSED, CALLS, World

OPERATIONS = served()
# The one whose success takes an instance away goes last.
ORDER = sorted(OPERATIONS, key=lambda name: name == "DeregisterContainerInstance")

Path = tuple[Any, ...]


@pytest.fixture(scope="session")
def world(wire: Wire) -> World:
    return World(wire)


def members(shape: Shape, value: Any, path: Path = ()) -> Iterator[tuple[Path, Shape, bool]]:
    """Each member of a call's input that is given: where, of what shape, and whether it is required."""
    if shape.type_name == "structure":
        for name, one in value.items():
            yield (*path, name), shape.members[name], name in shape.required_members
            yield from members(shape.members[name], one, (*path, name))
    elif shape.type_name == "list":
        for index, one in enumerate(value):
            yield from members(shape.member, one, (*path, index))


def changed(given: Any, path: Path, change: Any) -> Any:
    """A copy in which the member at `path` is another; `...` takes it away."""
    result = copy.deepcopy(given)
    at = result
    for step in path[:-1]:
        at = at[step]
    if change is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = change
    return result


def snake(operation: str) -> str:
    return botocore.xform_name(operation)


def test_every_served_operation_has_a_fixture():
    assert sorted(CALLS) == sorted(OPERATIONS)


@pytest.mark.parametrize("operation", ORDER)
def test_it_succeeds_and_its_answer_has_the_models_shape(wire: Wire, world: World, operation: str):
    answer = wire.call(operation, CALLS[operation](world))
    assert "x-amzn-requestid" in {name.lower() for name in answer.headers}
    if operation in ALWAYS_REFUSED:
        error, message = ALWAYS_REFUSED[operation]
        assert (answer.status, answer.error) == (400, error)
        assert message in answer.message
        return
    assert answer.status == 200, answer
    assert not answer.body.get("failures"), answer
    shape = SERVICE.operation_model(operation).output_shape
    assert list(problems(shape, answer.body, operation)) == []
    if operation != "DeregisterContainerInstance":
        getattr(wire.client(), snake(operation))(**CALLS[operation](world))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_required_member_that_is_missing_is_named(wire: Wire, world: World, operation: str):
    given = CALLS[operation](world)
    client = wire.client(validate=False)
    for path, _, required in list(members(input_shape(operation), given)):
        if not required:
            continue
        with pytest.raises(ClientError) as caught:
            getattr(client, snake(operation))(**changed(given, path, ...))
        error = caught.value.response["Error"]
        assert error["Code"] in declared(operation), (operation, path, error)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert path[-1] in error["Message"], (operation, path, error)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_member_of_a_wrong_type_is_refused(wire: Wire, world: World, operation: str):
    given = CALLS[operation](world)
    for path, shape, _ in list(members(input_shape(operation), given)):
        answer = wire.call(operation, changed(given, path, wrong_type(shape)))
        assert answer.status == 400, (operation, path, answer)
        assert answer.error in PROTOCOL_ERRORS, (operation, path, answer)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_at_all_is_an_answer_or_a_declared_error(wire: Wire, world: World, operation: str):
    for body in ({}, b"", {"cluster": "no-such-cluster"}, {"unknownMember": 1}):
        answer = wire.call(operation, body)
        if answer.status != 200:
            assert answer.status == 400, (operation, body, answer)
            assert answer.error in declared(operation), (operation, body, answer)


@pytest.mark.parametrize("operation", sorted(set(SERVICE.operation_names) - set(OPERATIONS)))
def test_what_is_not_served_says_so(wire: Wire, operation: str):
    answer = wire.call(operation, {})
    assert (answer.status, answer.error) == (400, "UnsupportedFeatureException")
    assert operation in answer.message
