#!/usr/bin/env escript
%% ports.escript N INTENSITY PROGRAM [ARG...]: an OTP supervisor, one_for_all, of N processes that each own a port.
%% It says "held" when the supervisor has given up, as its caller sees it. A port's program has to end with its
%% standard input: OTP does not end it.
-module(ports).
-mode(compile).
-export([main/1, init/1, start/2, own/2]).

main([N, Intensity, Program | Args]) ->
    process_flag(trap_exit, true),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {list_to_integer(N), list_to_integer(Intensity), Program, Args}),
    receive {'EXIT', Supervisor, _} -> mark("held") end,
    halt(3).

init({N, Intensity, Program, Args}) ->
    Children = [#{id => I, start => {?MODULE, start, [Program, Args]}, shutdown => 5000} || I <- lists:seq(1, N)],
    {ok, {#{strategy => one_for_all, intensity => Intensity, period => 3600}, Children}}.

start(Program, Args) -> proc_lib:start_link(?MODULE, own, [Program, Args]).

own(Program, Args) ->
    Port = open_port({spawn_executable, Program}, [{args, Args}, exit_status, binary]),
    proc_lib:init_ack({ok, self()}),
    receive {Port, {exit_status, Status}} -> exit({status, Status}) end.

%% erlang:monotonic_time has an offset of its own; the time of a mark is taken where it is read.
mark(What) ->
    {ok, F} = file:open(os:getenv("COMPARE_MARKS"), [append, raw]),
    ok = file:write(F, io_lib:format("~s ~s 0~n", [What, os:getpid()])),
    file:close(F).
