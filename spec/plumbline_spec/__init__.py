"""The judge: engines that hold any host to any machine.

Theory of operation. A machine (``plumbline_models.contract.Machine``) says what must happen; a host
(``plumbline_spec.host.Judged``) says what does. The judge imports no implementation and names no
machine; whoever calls it brings both. The toy of ``plumbline_spec.toy`` goes through every engine
and is the shortest example of each.

==================  ==============================================================================
module              what it does
==================  ==============================================================================
``explore``         every reachable state of a scope, breadth first; shortest counterexamples
``descend``         the same scope depth first over savepoints, on a host as well
``lockstep``        long random histories on machine and host, found by Hypothesis, shrunk here
``diff``            two rule sets of one machine in product
``traces``          record, write, read, validate and replay traces
``vectors``         the smallest set of traces that reaches every clause, event and outcome
``quality``         whether every variant is caught, and by which clause
``envelope``        one transaction an event, and request ids
``coverage``        which events, outcomes and clauses were exercised
==================  ==============================================================================
"""
