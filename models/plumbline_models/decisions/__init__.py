"""Decisions without state: they exist once, and model and implementation both call them.

A closed list; whatever reads a list, a ledger or a log exists twice instead.

=============  ====================================================================================
module         decides
=============  ====================================================================================
``counting``   how many tokens a text is taken for, and which count of a host is believed
``limits``     where the thresholds of a context lie, and in which regime a size is
``spans``      whether the parts of a message lie in its text, in order and apart
=============  ====================================================================================
"""
