"""A host that keeps no ordinals: it observes an ordered list of ids, and an ordinal is a rank."""

from msgspec.structs import replace

from plumbline import ordinals as sqlite_ordinals
from plumbline.registry import ordinals_case
from plumbline.sqlite_host import judged
from plumbline_models import ordinals
from plumbline_models.history.ordinals import VARIANTS
from plumbline_models.ordinals import Conversation, Event, Outcome, State
from plumbline_models.ordinals.queries import ranked
from plumbline_spec.host import Judged
from plumbline_spec.lockstep import Effort, lockstep
from plumbline_spec.model_host import model_host
from tests.ordinals import appending, forgetting, opening

CASE = ordinals_case()
EFFORT = Effort(examples=40, steps=30, seed=7)
SCOPE = CASE.scopes["quick"].descend[0]


def listed(state: State) -> State:
    """Return what such a host shows: the ids of each context, in order, and nothing else."""
    return State(
        conversations=tuple(
            Conversation(id=at.id, context=ranked(entry.item for entry in at.context))
            for at in state.conversations
        )
    )


def gapped() -> Judged[State, Event, Outcome]:
    """Return a host whose ordinals have gaps, and whose list is right."""
    (variant,) = [one for one in VARIANTS if one.name == "PRUNE_GAPS"]
    return model_host(variant.machine())


def test_a_host_that_observes_ids_alone_is_held_to_their_order() -> None:
    """ORD-1 holds by construction; every other clause means what it says."""
    run = lockstep(
        ordinals.machine(),
        lambda: replace(judged(sqlite_ordinals.PROGRAM), view=listed),
        SCOPE,
        EFFORT,
    )
    assert run.failure is None


def test_a_wrong_order_is_seen_through_the_list_alone() -> None:
    (variant,) = [one for one in VARIANTS if one.name == "ROLLED_BACKWARDS"]
    run = lockstep(
        ordinals.machine(),
        lambda: replace(model_host(variant.machine()), view=listed),
        SCOPE,
        replace(EFFORT, examples=200),
    )
    assert run.failure is not None
    assert run.failure.kind == "state"
    assert "context" in run.failure.name


def test_gaps_in_ordinals_are_no_difference_to_who_shows_none() -> None:
    host = gapped()
    assert host.observable is not None
    state = State()
    for event in (opening(), appending("m1 m2 m3"), forgetting("m2")):
        state, _ = ordinals.machine().step(state, event)
        host.host.step(event)
    observed = host.observable.observe()
    assert observed != state
    assert listed(observed) == listed(state)
