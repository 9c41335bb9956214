"""Tools: what they are, which of them a call has, and how one is carried out.

For whoever runs a call, in the order of use::

    from antiphon.tools.definition import CallTool, Selected
    from antiphon.tools.selection import DurableTool, check_definition, select
    from antiphon.wire.tool_definitions import to_definition, to_selected     # JSON side → this room's types

    # At creation. ``find(tool_id, tool_name) -> DurableTool | None`` knows the user's own tools (one of the two
    # arguments is None). Raises InvalidRequest naming ``selectedTools.N...``. Nothing here waits or does I/O.
    tools: tuple[CallTool, ...] = select([to_selected(item) for item in request.selected_tools], find)
    prompt_tools = tuple(tool.spec for tool in tools)                         # call.tools.ToolSpec

    # At use. ``arguments`` is what the model filled in (ToolRequest.arguments), ``facts`` a CallFacts.
    match tool.implementation:
        case HttpImplementation():
            outcome = await http_caller.call(tool, arguments, facts)          # never raises, bounded by the timeout
        case ClientImplementation() | DataConnectionImplementation():
            prepared = arguments.client_parameters(tool, arguments, facts)    # ToolOutcome (a failure) | dict to send
            # ... later, the fields of wire.incoming.ToolResult as they are:
            outcome = outcomes.from_result(tool.spec.name, result=..., response_type=..., agent_reaction=...,
                                           error_type=..., error_message=..., update_call_state=...)
            # ... or, after spec.timeout_s without one: outcomes.timed_out(tool.spec.name, tool.spec.timeout_s)
        case BuiltIn():
            done = built_in.carry_out(tool, arguments, facts)                 # BuiltInResult(outcome, sound)
            # done.sound: int16 mono samples at facts.output_sample_rate to be played, or None

    outcomes.static(tool)             # ToolOutcome of a tool that has spec.static_response: the model has it at once
    outcomes.unknown(name, known)     # the model named a tool that there is none of
    outcomes.unreadable(problem)      # the model's arguments were no JSON object (ToolRequest.problem)

Every outcome is a :class:`antiphon.call.tools.outcomes.ToolOutcome`. Of ``new-stage`` and ``send-to-thread`` the
``text`` is the whole JSON body for the caller to parse (``outcomes.json_object(text)`` does so without surprises); of
``hang-up`` ``closing_message`` and ``strict`` are filled in. ``reaction`` is ``None`` unless the answer itself named
one.

``http.HttpCaller(Reach(allow_private=False, allowed=()))`` is made once per server and closed with ``aclose()``.
``allowed``: host names, addresses or networks ("10.1.0.0/16") that tools may reach although they are private.
``definition.CallFacts`` has the values of automatic parameters. ``built_in.BUILT_IN`` lists the built-in tools.
"""
