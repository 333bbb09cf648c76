"""Decisions without state: they exist once, and model and implementation both call them.

A closed list; whatever reads a list, a ledger or a log exists twice instead.

==============  ====================================================================================
module          decides
==============  ====================================================================================
``counting``    how many tokens a text is taken for, and which count of a host is believed
``escalation``  what a pass asks of a summariser, and what it makes of the answers
``limits``      where the thresholds of a context lie, and in which regime a size is
``refreshing``  whether a snapshot is merged, rebuilt or reused, and for which reason
``sources``     what text a summariser is given, and which files a text names
``spans``       whether the parts of a message lie in its text, in order and apart
``statistics``  what is kept of many outcomes, exact and mergeable
==============  ====================================================================================
"""
