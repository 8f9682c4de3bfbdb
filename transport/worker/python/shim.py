"""Muster's worker for Python: runs a program as Python itself would, and tells the supervisor how it ended.

    python3 [options] -c BOOT SHIM file   train.py --lr 0.1
    python3 [options] -c BOOT SHIM module pkg.train --lr 0.1
    python3 [options] -c BOOT SHIM code   'print(1)' --lr 0.1

This file is SHIM. It travels in the argument list: nothing is installed, no file is written. BOOT is one line that
compiles it under the name "<muster>" and runs it in a namespace of its own. The program then runs in the real
`__main__` module, with the argv, path, name, file and loader it would have had: it needs no change and sees no trace.

The socket that MUSTER_FD names carries frames (docs/protocol.md): Hello; Ready, just before the program's first line;
one Exception for what escapes it, or one Result when its main body came to a good end. A program that calls
sys.exit(3) or os._exit says nothing: its exit status does. Without MUSTER_FD the program simply runs. One that imports the
module muster, which is no file either, talks to the supervisor and, through it, to the other ranks: docs/python.md.

What must hold:
  - The link never changes the program: a supervisor that is gone costs it no exception and no exit status. Only the
    process that said Hello writes; its forked children close the socket.
  - Python ends as always. What escapes is raised again, so that Python itself prints it, runs atexit handlers, joins
    threads and dies of SIGINT. We only stand in for sys.excepthook, once, to take our own frames off the traceback,
    by file name, and to tell the exception before the exit, which may hang.
  - There is no thread unless the supervisor asks for heartbeats or for the right to ask for stacks, or the program waits for
    something that the supervisor is to say: Python 3.12 warns of os.fork beside a second thread. One thread at most reads
    the socket. Where no parent-death signal exists, off Linux, it does in any case, to end the process when the supervisor is
    gone. Progress that is held back is told by a thread that lives a moment.
  - Who waits, waits for a lock, which a signal interrupts: a handler runs soon, and Ctrl-C ends the wait.
  - SIGQUIT writes the stacks of all threads to standard error, and a crash (SIGSEGV, SIGABRT and so on) writes them before it
    ends the process: faulthandler's work. Who chose otherwise is left alone: an ignored or taken SIGQUIT,
    PYTHONFAULTHANDLER=0, a program that enables or registers its own.
  - The way to the program's first line is short: this file has four pages, parted by form feeds, and BOOT compiles the
    first alone. The second, and the modules it imports, is for exceptions, and for the stacks of threads; the third is the
    module muster with progress, and the fourth the rest of that module.
  - Local variables are told, and asked for their repr, under MUSTER_LOCALS=1 only: they may hold secrets.

It differs from plain Python where Python leaves no choice: a few frames more are on the stack, sys.meta_path has an
entry more, which finds the module muster when nobody else does, and for a program that imports it one that waits for
multiprocessing.spawn, sys.orig_argv shows the real command line, and a source that is not valid in its encoding is reported in
the words of compile().
"""

import _signal
import _socket
import _thread
import os
import sys
import time

NAME = "<muster>"
VERSION = 1
HELLO, WELCOME, READY, EXCEPTION, RESULT, HEARTBEAT, PROGRESS, MAIL, STOP, DUMP, CREDIT, PART = *range(1, 11), 12, 13
MORE = 1  # the flag of every chunk but the last
FRAME, MESSAGE, TEXT, ATTRIBUTE, STACKS, NOTE = 1 << 20, 64 << 20, 64 << 10, 1 << 10, 256 << 10, 256  # limits in bytes
FRAMES, DEPTH, EXCEPTIONS, NOTES, BASES, LOCALS = 128, 16, 128, 64, 32, 1024  # limits in pieces
NESTED = 64  # containers in one another, in a message or a value
MARK = "\n\u2026 left out \u2026\n"
PACE = 0.1  # seconds between two messages about progress
PATIENCE = 5  # seconds to wait for Welcome, which the supervisor sends at once


# ---- The wire

# The msgpack forms whose size stands in bytes of its own: the code, and the width of the size.
UINT = ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8))
INT = ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))
STR = ((0xD9, 1), (0xDA, 2), (0xDB, 4))
BIN = ((0xC4, 1), (0xC5, 2), (0xC6, 4))
LIST = ((0xDC, 2), (0xDD, 4))
MAP = ((0xDE, 2), (0xDF, 4))
FLOAT = ((0xCA, 4), (0xCB, 8))
CODES = {code: (form, width) for form in (UINT, INT, STR, BIN, LIST, MAP, FLOAT) for code, width in form}
EXTENSIONS = {0xC7: (1, 0), 0xC8: (2, 0), 0xC9: (4, 0), **{0xD4 + n: (0, 1 << n) for n in range(5)}}  # width, or size


def pack(value):
    """Return a bool, int, str, bytes, list or dict (in its order) in the shortest msgpack form."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return pack_size(UINT, value, 0, 128) if value >= 0 else pack_negative(value)
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace")
        return pack_size(STR, len(value), 0xA0, 32) + value
    if isinstance(value, bytes):
        return pack_size(BIN, len(value)) + value
    if isinstance(value, dict):
        return pack_size(MAP, len(value), 0x80, 16) + b"".join(pack(k) + pack(v) for k, v in value.items())
    return pack_size(LIST, len(value), 0x90, 16) + b"".join(map(pack, value))


def pack_size(form, size, small=0, limit=0):
    if size < limit:
        return bytes((small | size,))
    code, width = next(cw for cw in form if size < 1 << 8 * cw[1])
    return bytes((code,)) + size.to_bytes(width, "big")


def pack_negative(value):
    if value >= -32:
        return bytes((value + 256,))
    code, width = next(cw for cw in INT if -value <= 1 << 8 * cw[1] - 1)
    return bytes((code,)) + value.to_bytes(width, "big", signed=True)


def unpack(data, at=0, depth=NESTED, message=False):
    """Return the msgpack value at a place in data, and the place after it. LookupError: it is cut short, or nested too deep.

    In a message, keys that we do not know may have any value: an extension counts as nil there, a key that is no text is passed
    over, and text that is no UTF-8 is replaced.
    """
    code, at = data[at], at + 1
    if code < 0x80 or code >= 0xE0:
        return code if code < 0x80 else code - 256, at
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], at
    if code < 0xC0:
        form, size = (MAP, code & 15) if code < 0x90 else (LIST, code & 15) if code < 0xA0 else (STR, code & 31)
        return unpack_sized(data, at, form, size, depth, message)
    if code in EXTENSIONS:
        width, size = EXTENSIONS[code]
        size += int.from_bytes(part(data, at, width), "big") + 1  # and its type
        body = part(data, at + width, size)
        return None if message else moment(body), at + width + size
    form, width = CODES[code]
    head = part(data, at, width)
    if form is FLOAT:
        import struct

        return struct.unpack(">f" if width == 4 else ">d", head)[0], at + width
    return unpack_sized(data, at + width, form, int.from_bytes(head, "big", signed=form is INT), depth, message)


def unpack_sized(data, at, form, size, depth, message):
    if form is UINT or form is INT:
        return size, at
    if form is STR or form is BIN:
        piece = part(data, at, size)
        return piece.decode("utf-8", "replace" if message else "strict") if form is STR else piece, at + size
    if not depth:
        raise IndexError("nested deeper than %d" % NESTED)
    values = []
    for _ in range(size if form is LIST else 2 * size):
        value, at = unpack(data, at, depth - 1, message)
        values.append(value)
    if form is LIST:
        return values, at
    return {k: v for k, v in zip(values[::2], values[1::2]) if not message or isinstance(k, str)}, at


def part(data, at, size):
    if size > len(data) - at:
        raise IndexError("it ends too early")
    return data[at:at + size]


def frames(kind, body):
    """Yield the frames of a message: one, or one for each MiB of its body."""
    for at in range(0, len(body), FRAME):
        piece = body[at:at + FRAME]
        yield len(piece).to_bytes(4, "big") + bytes((kind, MORE * (at + FRAME < len(body)))) + piece


def messages(read):
    """Yield the kind and the body of each message, its chunks put together; read returns that many bytes."""
    parts = {}
    while True:
        head = read(6)
        size, kind = int.from_bytes(head[:4], "big"), head[4]
        if size > FRAME or size + sum(map(len, parts.values())) > MESSAGE:
            raise OSError("a frame or a message of more bytes than the protocol allows")
        parts[kind] = parts.get(kind, b"") + read(size)
        if not head[5] & MORE:
            yield kind, parts.pop(kind)


class Link(_socket.socket):
    """The worker's end of the socket. Without one, and once it is broken, every method does nothing."""

    def __init__(self, environ):
        self.pid = 0  # of the process that may write; 0 for none
        self.home = 0  # what pid was at first
        self.credit = 0  # that Welcome gave, in bytes
        self.office = None
        self.listening = self.deaf = False  # a thread reads; the last of it was read
        self.stopping = False  # the supervisor has asked the program to stop
        self.lock = _thread.allocate_lock()  # held for one frame
        self.over = False  # the last word was said
        self.progress = None  # of the program that has imported muster, as is the office
        self.who = {"rank": integer(environ.get("RANK")), "generation": integer(environ.get("MUSTER_GENERATION"))}
        fd = environ.pop("MUSTER_FD", None)
        try:
            super().__init__(fileno=int(fd))
            os.set_inheritable(self.fileno(), False)
            self.settimeout(None)
            self.file = self.same_file()
        except (TypeError, ValueError, OverflowError, OSError):
            self.detach()
            return
        if sys.platform == "darwin":
            self.setsockopt(_socket.SOL_SOCKET, 0x1022, 1)  # SO_NOSIGPIPE: there is no MSG_NOSIGNAL
        self.pid = self.home = os.getpid()
        os.register_at_fork(after_in_child=self.drop)

    def __del__(self):
        """Leave the descriptor to the end of the process: a socket would warn that nobody closed it."""

    def same_file(self):
        state = os.fstat(self.fileno())
        return state.st_dev, state.st_ino

    def drop(self):
        """Give the socket up. Close it, unless the program did and the number means another file by now."""
        if not self.pid:
            return
        self.pid = 0
        try:
            if self.same_file() == self.file:
                self.close()
        except OSError:
            pass
        self.detach()
        self.ring()

    def ring(self):
        """Have who waits for something look again."""
        if self.office:
            self.office.ring()

    def send(self, kind, **body):
        self.write(kind, pack(body))

    def write(self, kind, body):
        """Write one message. What keeps a frame from being written whole breaks the link."""
        if self.pid != os.getpid():
            return  # before the lock: in a forked child a thread may hold it that does not exist there
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())  # a call of its own: each of them may run a handler that raises
        try:
            _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())  # no handler raises in between
            for frame in frames(kind, body):
                with self.lock:
                    self.write_frame(frame)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)

    def write_frame(self, frame):
        if not self.pid:
            return
        try:
            if self.same_file() != self.file:
                raise OSError("the program has closed the socket")
            self.sendall(frame, getattr(_socket, "MSG_NOSIGNAL", 0))
        except OSError:
            self.drop()
        except BaseException:  # of a handler after all: another thread received the signal
            self.drop()
            raise

    def hello(self):
        sdk = "python/%d.%d.%d" % sys.version_info[:3]
        self.send(HELLO, min=VERSION, max=VERSION, pid=self.pid, sdk=sdk)

    def ready(self):
        """Wait for the supervisor's answer, start what it asks for, and say that the program begins."""
        welcome = self.welcome()
        if welcome.get("version", VERSION) != VERSION:
            raise SystemExit("muster: the supervisor does not speak version %d of the protocol" % VERSION)
        self.credit = welcome.get("credit", 0)
        if welcome.get("heartbeat", 0) > 0:
            _thread.start_new_thread(self.beat, (welcome["heartbeat"] / 1e9,))
        if self.pid and (welcome.get("heartbeat", 0) > 0 or welcome.get("dumps") or sys.platform != "linux"):
            _thread.start_new_thread(self.listen, ())
        self.send(READY)

    def welcome(self):
        """Return the body of Welcome; an empty one when none comes, or none that can be read."""
        if not self.pid:
            return {}
        self.settimeout(PATIENCE)
        try:
            for kind, body in messages(self.read):
                if kind == WELCOME:
                    return dict(unpack(body, message=True)[0])
                self.stopping = self.stopping or kind == STOP
        except Exception:
            return {}
        finally:
            self.settimeout(None)

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.recv(size - len(data))
            if not piece:
                raise EOFError("the supervisor is gone")
            data += piece
        return data

    def beat(self, seconds):
        """Send heartbeats for as long as there is a link: a thread of its own, which leaves signals to the others."""
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        seq = 0
        while self.pid:
            time.sleep(seconds)
            seq += 1
            self.send(HEARTBEAT, seq=seq, time=time.time_ns())

    def listen(self):
        """Do what the supervisor asks for, in a thread of its own, which leaves signals to the others.

        Off Linux, end the process when the supervisor is gone.
        """
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        with self.lock:
            if self.listening:
                return
            self.listening = True
        try:
            for kind, body in messages(self.read):
                self.stopping = self.stopping or kind == STOP
                if kind == DUMP:
                    second_page()
                    self.send(DUMP, text=stacks())
                elif self.office:
                    self.office.receive(kind, body)
        except EOFError:
            if self.pid and not self.over and sys.platform != "linux":
                os._exit(1)
        except OSError:  # the program has closed the socket, or the supervisor breaks the protocol
            self.drop()
        finally:
            self.deaf = True
            self.ring()

    def flush(self):
        if self.progress:
            self.progress.flush()

    def result(self):
        """Tell that the program came to a good end, and what it has reported."""
        self.flush()
        value = self.office.rest() if self.office else b""
        self.over = True
        self.send(RESULT, **({"value": value} if value else {}))

    def describe(self, error):
        """Return an exception as a message: all of it, or as much as can be told."""
        if self.pid != os.getpid():
            return b""
        now = {**self.who, "pid": self.pid, "host": os.uname().nodename, "time": time.time_ns()}
        try:
            second_page()
            return report(error, now)
        except BaseException:  # out of memory, interrupted, or of a class that has no names
            name = type.__dict__["__name__"].__get__(type(error))  # whatever its metaclass makes of that
            return pack({"type": name, "truncated": True, **now})

    def raised(self, body):
        """Tell an exception, once."""
        if not self.over:
            self.flush()
            self.over = True
            self.write(EXCEPTION, body)


class Finder:
    """Finds the module muster, which programs import to speak to the supervisor: the last to be asked, they may have one."""

    def __init__(self, link):
        self.link = link

    def find_spec(self, name, path=None, target=None):
        if name != "muster":
            return None
        from _frozen_importlib import ModuleSpec

        return ModuleSpec(name, self, origin=NAME)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        third_page()
        furnish(module, self.link)


def integer(text):
    try:
        return int(text)
    except (TypeError, ValueError):
        return 0


# ---- What Python does with what escapes

def stand_in(link, error):
    """Stand in for sys.excepthook, which Python calls for what escapes once all frames are left.

    The message is made before, while Python has not yet seen what escapes: to import a module or to evaluate a text
    after that would make it forget that it is to die of SIGINT.
    """
    theirs = getattr(sys, "excepthook", sys.__excepthook__)
    error.with_traceback(without_ours(error.__traceback__))  # a class may forbid to set attributes
    body = link.describe(error)
    if theirs is not sys.__excepthook__:
        link.raised(body)  # first: who knows what theirs does

    def hook(kind, error, trace):
        sys.excepthook = theirs
        sys.last_traceback = without_ours(trace)
        error.with_traceback(sys.last_traceback)
        try:
            show(theirs, error)  # first: a supervisor that is told may end the process at once
        finally:
            link.raised(body)

    sys.excepthook = hook


def show(hook, error):
    """Call a hook as Python does: one that raises is shown in its turn."""
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as second:
        second.with_traceback(without_ours(second.__traceback__))
        complain("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        complain("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)


def complain(text):
    if sys.stderr is not None:  # as where the process was started without one
        sys.stderr.write(text)


def without_ours(trace):
    """Return a traceback without the frames that led to the program: this file's, and the one of BOOT."""
    while trace and (trace.tb_frame.f_code.co_filename == NAME or trace.tb_frame.f_code is BOOT):
        trace = trace.tb_next
    return trace


# ---- Stacks on demand, and before a crash

def show_stacks():
    """Do what the program can undo, and nothing where somebody has chosen already."""
    if os.environ.get("PYTHONFAULTHANDLER") == "0" or sys.stderr is None:  # without one, 2 may be any file
        return
    seen = "faulthandler" in sys.modules
    try:
        import faulthandler

        if not faulthandler.is_enabled():
            faulthandler.enable(file=2)
        if _signal.getsignal(_signal.SIGQUIT) == _signal.SIG_DFL:
            faulthandler.register(_signal.SIGQUIT, file=2)
    except (ImportError, AttributeError, OSError, RuntimeError):  # another Python, or another system
        pass
    if not seen:
        sys.modules.pop("faulthandler", None)


# ---- The program, in the three ways Python knows: each function prepares it and returns what runs it

def run_file(path, link):
    """A script, or a directory or archive that holds a `__main__`."""
    sys.argv[0] = path
    if importable(path):
        put_first(os.path.join(here(), path), always=True)
        return run_main("__main__", False)
    name = os.path.join(here(), path)
    put_first(os.path.dirname(os.path.realpath(path)))
    loader, code = load(name, link)
    main = vars(sys.modules["__main__"])
    main.update(__file__=name, __cached__=None, __loader__=loader)
    return lambda: exec(code, main)


def run_module(name, link):
    sys.argv[0] = "-m"
    put_first(here())
    return run_main(name, True)


def run_code(source, link):
    sys.argv[0] = "-c"
    code = compile(source, "<string>", "exec", dont_inherit=True)
    lines = sys.modules.get("linecache")
    if hasattr(lines, "_register_code"):  # Python 3.13 shows the lines of -c in tracebacks
        lines._register_code(code if hasattr(lines, "_interactive_cache") else "<string>", source, "<string>")
    return lambda: exec(code, vars(sys.modules["__main__"]))


def run_main(name, alter_argv):
    import runpy

    return lambda: runpy._run_module_as_main(name, alter_argv)  # as Python does: its frames are part of tracebacks


def here():
    try:
        return os.getcwd()
    except OSError:  # the directory was removed
        return ""


def importable(path):
    for hook in sys.path_hooks:
        try:
            return bool(hook(path))
        except ImportError:
            pass
    return False


def put_first(directory, always=False):
    """Put a directory where -c put the current one, unless an option keeps such directories off the path."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = directory
    elif always:
        sys.path.insert(0, directory)


def load(name, link):
    """Return the loader and the code of a script. One that cannot be read ends the process as Python does."""
    from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader

    compiled = name.endswith(".pyc")
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", name)
    try:
        source = loader.get_data(name)
    except OSError as error:
        link.raised(link.describe(error.with_traceback(None)))
        python = getattr(sys, "orig_argv", [sys.executable])[0]
        complain("%s: can't open file %r: [Errno %d] %s\n" % (python, name, error.errno, error.strerror))
        raise SystemExit(2)
    return loader, loader.get_code("__main__") if compiled else compile(source, name, "exec", dont_inherit=True)


def forget_boot():
    """Make linecache forget BOOT, whose line Python 3.13 would show for any code that is called <string>."""
    lines = sys.modules.get("linecache")
    if hasattr(lines, "_register_code"):
        lines.cache.pop("<string>", None)
        getattr(lines, "_interactive_cache", {}).clear()


def missing(end):
    """Return the error behind an exit of runpy, which ends with a mere text when there is no such module."""
    error = end.__context__
    if type(error).__module__ != "runpy":
        return None
    found = ImportError(str(error))
    found.__cause__ = error.__cause__
    return found


def main():
    mode, target = sys.argv[1:3]
    del sys.argv[1:3]
    link = Link(os.environ)
    try:
        link.hello()
        show_stacks()
        sys.meta_path.append(Finder(link))
        forget_boot()
        run = globals()["run_" + mode](target, link)
        link.ready()
        run()
        link.result()
    except SystemExit as end:
        link.flush()
        if missing(end):
            link.raised(link.describe(missing(end)))
        elif end.code is None or isinstance(end.code, int) and end.code == 0:
            link.result()
        raise
    except BaseException as error:
        stand_in(link, error)
        raise


def page(number, name):
    """Compile another page of this file, unless what it defines is there."""
    if name not in globals():
        exec(compile(SOURCE.split("\f")[number - 1], NAME, "exec"), globals())


def second_page():
    page(2, "stacks")


def third_page():
    page(3, "furnish")


if __name__ == NAME:
    BOOT, SOURCE = sys._getframe(1).f_code, sys.argv.pop(1)
    main()



# ---- The stacks of all threads as a message

def stacks():
    """Return the stacks of all threads but this one, without our own frames, in the form of faulthandler.

    Nothing is imported here and no source is read: the program may be stuck in either.
    """
    ours = _thread.get_ident()
    names = {ident: " [%s]" % thread.name for ident, thread in list(getattr(sys.modules.get("threading"), "_active", {}).items())}
    parts = []
    for ident, frame in sys._current_frames().items():
        lines = []
        while frame and frame.f_code is not BOOT:
            if frame.f_code.co_filename != NAME:
                place = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
                lines.append('  File "%s", line %s in %s\n' % place)
            frame = frame.f_back
        if ident != ours and lines:
            head = "Thread 0x%016x%s (most recent call first):\n" % (ident, names.get(ident, ""))
            parts.append(head + "".join(lines))
    return bounded("\n".join(parts), STACKS)[0]


# ---- An exception as a message

def report(error, now):
    """Return the body of Exception: with all there is or, where that is too long or fails, without what it came from."""
    for variables in [Variables(), None] if os.environ.get("MUSTER_LOCALS") == "1" else [None]:
        try:
            body = pack(filled({**Tree(EXCEPTIONS, variables).node(error, told(error, variables)), **now}))
            if len(body) <= MESSAGE:
                return body
        except BaseException:  # out of memory, or a relative that fights back
            pass
    return pack(filled({**Tree(1).node(error, told(error)), **now}))


def filled(body):
    return {key: value for key, value in body.items() if value}


def bounded(text, limit):
    """Return a text within a limit in bytes, with both its ends, and whether anything was left out."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode(), False
    half = (limit - len(MARK.encode())) // 2
    return data[:half].decode("utf-8", "ignore") + MARK + data[-half:].decode("utf-8", "ignore"), True


class Fit:
    """Keeps the parts of one exception within the limits, and remembers whether anything was lost."""

    lost = False

    def text(self, value, limit=TEXT):
        text, lost = bounded(str(value), limit)
        self.lost = self.lost or lost
        return text

    def some(self, values, head, tail=0):
        if len(values) <= head + tail:
            return values
        self.lost = True
        return values[:head] + values[len(values) - tail:]


class Tree:
    """An exception with its causes, contexts and members: each once, however they point at one another."""

    def __init__(self, count, variables=None):
        self.left = count
        self.seen = set()
        self.variables = variables  # None where nobody asked for them
        self.locals = LOCALS  # that may still be sent

    def node(self, error, text, depth=1):
        self.left -= 1
        self.seen.add(id(error))
        fit = Fit()
        # Before the context: what is put into a group is often what was being handled, and belongs to the group first.
        group = [m for m in [self.related(m, depth, fit) for m in members(error)] if m]
        body = {
            "type": fit.text(type(error).__qualname__),
            "module": fit.text(type(error).__module__),
            "message": fit.text(message(error)),
            "traceback": fit.text(text),
            "frames": self.steps(error.__traceback__, fit),
            "cause": self.related(error.__cause__, depth, fit),
            "context": self.related(error.__context__, depth, fit),
            "suppressed": bool(error.__suppress_context__),
            "notes": [fit.text(note) for note in fit.some(notes(error), NOTES)],
            "members": group,
            "attributes": attributes(error, fit),
            "bases": [fit.text(base, ATTRIBUTE) for base in fit.some(bases(error), BASES)],
        }
        return filled({**body, "truncated": fit.lost})

    def related(self, error, depth, fit):
        if error is None or id(error) in self.seen:
            return None
        if depth >= DEPTH or self.left <= 0:
            fit.lost = True
            return None
        if depth == DEPTH - 1:
            error = self.root(error, fit)
        return self.node(error, told(error, self.variables, chain=False), depth + 1)

    def root(self, error, fit):
        """Return the end of a chain that is too long: what came first is worth more than its middle."""
        passed = set(self.seen)
        while True:
            passed.add(id(error))
            origin = error.__cause__ if error.__suppress_context__ else error.__context__
            if origin is None or id(origin) in passed:
                return error
            error, fit.lost = origin, True

    def steps(self, trace, fit):
        places = fit.some(walk(trace), FRAMES // 2, FRAMES // 2)
        found = [self.held(frame, fit) for frame, _ in reversed(places)]  # of the innermost frames first
        return [
            filled({
                "file": fit.text(frame.f_code.co_filename, 4 * ATTRIBUTE),
                "line": number or 0,
                "function": fit.text(frame.f_code.co_name, ATTRIBUTE),
                "code": fit.text(code, ATTRIBUTE),
                "locals": held,
            })
            for (frame, number), code, held in zip(places, codes(places), reversed(found))
        ]

    def held(self, frame, fit):
        if not self.variables:
            return {}
        items = self.variables.of(frame, fit)
        held = dict(fit.some(list(items.items()), self.locals))
        self.locals -= len(held)
        return held


class Variables:
    """The local variables of frames as text: each frame's are looked at once, however many tracebacks it is part of."""

    def __init__(self):
        self.left = LOCALS
        self.known = {}

    def of(self, frame, fit):
        if id(frame) not in self.known:
            fresh = Fit()
            self.known[id(frame)] = self.look(frame, fresh), fresh.lost
            self.left -= len(self.known[id(frame)][0])
        found, lost = self.known[id(frame)]
        fit.lost = fit.lost or lost
        return found

    def look(self, frame, fit):
        """Call nothing of the program's but __repr__. A mapping of its own, as a class body may have, is passed over."""
        values = frame.f_locals
        if not self.left or type(values) not in (dict, type(sys._getframe().f_locals)):
            fit.lost = not self.left
            return {}
        values = dict(values)
        if frame.f_code.co_name == "<module>":  # what it has imported and defined is no news
            values = {name: value for name, value in values.items() if not defined(type(value))}
        names = sorted(name for name in values if plain(name))
        return {name: fit.text(short(values[name]), ATTRIBUTE) for name in fit.some(names, min(NOTES, self.left))}

    def annotate(self, shown, error):
        """Put the variables under the frames of what traceback is about to print, and of its relatives."""
        fit, pending = Fit(), [(shown, error)]
        while pending:
            shown, error = pending.pop()
            if shown is None or error is None:
                continue
            steps = list(zip(shown.stack, walk(error.__traceback__)))
            for step, (frame, _) in reversed(fit.some(steps, FRAMES // 2, FRAMES // 2)):
                step.locals = self.of(frame, fit) or None
            pending += zip(getattr(shown, "exceptions", None) or (), members(error))
            pending += (shown.__context__, error.__context__), (shown.__cause__, error.__cause__)


def walk(trace):
    """Return the frames of a traceback with the line that each is at, the innermost last."""
    places = []
    while trace is not None:
        places.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return places


def codes(places):
    """Return the line of code of each place, empty where there is none to be had.

    linecache knows them all. To import it takes longer than everything else that is done about an exception, and everybody
    waits: it is asked where the program has imported it, and where a look at the files does not do.
    """
    if "linecache" not in sys.modules:
        try:
            return plain_codes(places)
        except (OSError, ValueError):
            pass
    import linecache

    for name in {frame.f_code.co_filename for frame, _ in places}:
        linecache.checkcache(name)
    found = []
    for frame, number in places:
        try:
            found.append(linecache.getline(frame.f_code.co_filename, number or 0, frame.f_globals).strip())
        except SyntaxError:  # before Python 3.10: what is there is no source
            found.append("")
    return found


def plain_codes(places):
    """Return codes of files in UTF-8, as most are; what else there is, is an OSError or a ValueError."""
    files = {}
    for frame, _ in places:
        name = frame.f_code.co_filename
        if name not in files:
            files[name] = () if name.startswith("<") else source_lines(name)
    found = []
    for frame, number in places:
        lines = files[frame.f_code.co_filename]
        found.append(lines[number - 1].strip() if number and number <= len(lines) else "")
    return found


def source_lines(name):
    with open(name, encoding="utf-8") as file:
        lines = [line.lstrip("\ufeff") for line in file]
    if any("coding" in line and "utf-8" not in line.lower() for line in lines[:2]):
        raise ValueError("another encoding")
    return lines


def defined(kind):
    from types import BuiltinFunctionType, FunctionType, ModuleType

    return issubclass(kind, (type, BuiltinFunctionType, FunctionType, ModuleType))


def plain(name):
    """Report whether a name is one that people write: no __name__, and not the .0 of a comprehension."""
    return type(name) is str and name.isidentifier() and not name.startswith("__") and len(name) < ATTRIBUTE // 4


def message(error):
    try:
        return str(error)
    except BaseException:
        return "<exception str() failed>"


def bases(error):
    """Return the qualified names of the classes that an except clause could name, nearest first."""
    return ["%s.%s" % (kind.__module__, kind.__qualname__) for kind in type(error).__mro__[1:-1]]


def told(error, variables=None, chain=True):
    """Return what can be printed of an error: one may raise where it is asked whether it is true."""
    for chosen in [variables, None] if variables else [None]:
        try:
            return printed(error, chosen, chain)
        except BaseException:
            pass
    return ""


def printed(error, variables=None, chain=True):
    """Return the text that Python prints; without its chain, of this exception alone; with variables, under each frame."""
    import io

    plain = chain and sys.version_info < (3, 13)  # from then on Python itself prints with the module traceback
    if variables or not plain:
        import traceback
    if variables:
        shown = traceback.TracebackException(type(error), error, error.__traceback__)
        variables.annotate(shown, error)
        return "".join(shown.format(chain=chain))
    if not plain:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=chain))
    stderr = sys.stderr

    class Copy(io.StringIO):
        def write(self, text):
            """Keep what Python prints for us. What the program does, in a __str__ that warns or in a thread, goes its way."""
            ours = sys._getframe(1).f_code is printed.__code__
            return super().write(text) if ours else stderr and stderr.write(text)

    sys.stderr = Copy()
    try:
        sys.__excepthook__(type(error), error, error.__traceback__)
        return sys.stderr.getvalue()
    finally:
        sys.stderr = stderr


def notes(error):
    values = getattr(error, "__notes__", ())
    return [str(value) for value in values] if isinstance(values, (list, tuple)) else [repr(values)]


def members(error):
    """Return the members of a group: Python's own, or before 3.11 that of the package exceptiongroup."""
    if any(kind.__name__ == "BaseExceptionGroup" for kind in type(error).__mro__):
        return error.exceptions
    return ()


def attributes(error, fit):
    """Return what an exception holds beside its arguments: its own attributes, and those its builtin types set."""
    from types import GetSetDescriptorType, MemberDescriptorType

    values = {}
    for kind in type(error).__mro__[:-2]:  # without BaseException
        for name, slot in vars(kind).items():
            if isinstance(slot, (GetSetDescriptorType, MemberDescriptorType)):
                values[name] = getattr(error, name, None)
    values = {name: value for name, value in values.items() if value is not None and name not in ("obj", "exceptions")}
    values.update(vars(error))
    names = sorted(name for name in values if not name.startswith("_") and len(name) < ATTRIBUTE // 4)
    return {name: fit.text(short(values[name]), ATTRIBUTE) for name in fit.some(names, NOTES)}


def short(value):
    """Return a representation that is cheap whatever a container or a text holds."""
    import reprlib

    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 2 * ATTRIBUTE
    brief.maxlist = brief.maxtuple = brief.maxdict = brief.maxset = NOTES
    try:
        return brief.repr(value[:ATTRIBUTE] if isinstance(value, (bytes, bytearray)) else value)
    except BaseException:
        return "<repr() failed>"



# ---- The module muster, and how far the program is

CALLS = "info", "report", "tell", "request", "messages", "barrier", "broadcast", "all_gather", "set", "get", "lookup"
KINDS = "Message", "NoSupervisor", "Refused"


def furnish(module, link):
    """Fill the module muster: with progress, and with what is on the fourth page once somebody asks for it."""
    module.__doc__ = "What this rank says to its supervisor and, through it, to the other ranks: docs/python.md of Muster."
    link.progress = link.progress or Progress(link)
    module.progress = link.progress
    module.__all__ = ["progress", *CALLS, *KINDS]
    module.__dir__ = lambda: sorted({*vars(module), *CALLS, *KINDS})

    def find(name):
        if name not in CALLS and name not in KINDS:
            raise AttributeError("module 'muster' has no attribute %r" % name)
        page(4, "Office")
        link.office = link.office or Office(link)
        vars(module).update({name: globals()[name] for name in KINDS}, **{name: getattr(link.office, name) for name in CALLS})
        return vars(module)[name]

    module.__getattr__ = find
    if "multiprocessing.spawn" in sys.modules:
        equip(sys.modules["multiprocessing.spawn"])
    else:
        sys.meta_path.insert(0, Lookout())


# Processes that multiprocessing starts anew import what the program has imported: they find the module muster, too, and in it
# that they are not the rank. What tells them how lies beside the rest that multiprocessing has for them, as a pickle.

NEWCOMER = """
exec(compile(SOURCE.partition("\\f")[0], NAME, "exec"))
link = Link(dict(os.environ))
link.home = -1
sys.meta_path.append(Finder(link))
"""


class Newcomer:
    """Makes a process know the module muster in which it is unpickled."""

    def __reduce__(self):
        return exec, (NEWCOMER, {"__name__": NAME + ".newcomer", "NAME": NAME, "SOURCE": SOURCE})


class Lookout:
    """A finder that waits for multiprocessing.spawn, whose loader it is then in the place of the real one, and goes."""

    loader = None  # the real one

    def find_spec(self, name, path=None, target=None):
        for finder in list(sys.meta_path) if name == "multiprocessing.spawn" else ():
            spec = finder is not self and hasattr(finder, "find_spec") and finder.find_spec(name, path, target)
            if spec:
                self.loader, spec.loader = spec.loader, self
                return spec

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]
        self.loader.exec_module(module)
        equip(module)


def equip(spawn):
    theirs = spawn.get_preparation_data

    def get_preparation_data(name, *arguments):
        data = theirs(name, *arguments)
        if name == "ignore":  # a fork server, which is not told: what it forks imports the main module itself
            data.pop("init_main_from_path", None)
            data.pop("init_main_from_name", None)
        else:
            data["muster"] = Newcomer()
        return data

    spawn.get_preparation_data = get_preparation_data


class Progress:
    """The newest that the program said of how far it is, told at a bounded pace, and the last in any case."""

    def __init__(self, link):
        self.link = link
        self.lock = _thread.RLock()  # a signal handler may say something, too
        self.count, self.text = -1, ""
        self.unsent = False  # they were not told yet
        self.waiting = False  # there is a thread that will tell it
        self.last = 0.0  # when something was told

    def __call__(self, count, text=""):
        """Tell the supervisor a count that only grows (steps, rows, bytes), and a short text."""
        count, text = int(count), str(text)
        if not self.link.pid:
            return  # before the lock: see write
        with self.lock:
            if count < self.count or count == self.count and text == self.text:
                return
            self.count, self.text, self.unsent = count, text, True
            if self.waiting:
                return
            wait = PACE - (time.monotonic() - self.last)
            if wait > 0:
                self.waiting = True
                try:
                    _thread.start_new_thread(self.later, (wait,))
                except RuntimeError:  # no more threads, or the interpreter ends: the next call will do, or the end
                    self.waiting = False
                return
        self.flush()

    def later(self, wait):
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        time.sleep(wait)
        with self.lock:
            self.waiting = False
        self.flush()

    def flush(self):
        """Tell what is unsent, with the lock, so that a last word that follows is the last."""
        if self.link.pid != os.getpid():
            return
        with self.lock:
            if not self.unsent:
                return
            count, text, self.unsent, self.last = self.count, self.text, False, time.monotonic()
            data = text.encode("utf-8", "backslashreplace")
            if len(data) > NOTE:
                text = data[:NOTE - 3].decode("utf-8", "ignore") + "\u2026"
            self.link.send(PROGRESS, count=min(count, (1 << 63) - 1), **({"text": text} if text else {}))



# ---- Messages, meetings and the result

import struct
from _collections import deque

LETTER, TOPIC, REASON, PIECE, WINDOW, COST = (1 << 20) - (8 << 10), 256, 4 << 10, 256 << 10, 1 << 20, 64  # bytes
PULSE = 0.5  # seconds after which who waits looks in any case: Python may miss a signal that comes just before
RESERVED = "muster."
SENDABLE = "None, bool, int, float, str, bytes, datetime, list, tuple, and dict with str keys, can be sent"
TIME = b"\xff"  # the type of the extension that is one


class NoSupervisor(RuntimeError):
    """No supervisor started this process, or it is gone, or this process was forked off, or started by, the one that it started."""

    __module__ = "muster"


class Refused(RuntimeError):
    """The answer to a request is an error, in the words of whoever was asked."""

    __module__ = "muster"


class Office:
    """What a rank says to its supervisor and, through it, to the other ranks of its group: see docs/python.md.

    Times to wait are in seconds, None for no bound; what does not come in time is a TimeoutError. A signal interrupts every
    wait. Any thread may call; a forked process may not: NoSupervisor.
    """

    # A rank has one, in its shim. The functions of the module are its methods.

    def __init__(self, link):
        self.link = link
        self.lock = _thread.RLock()  # for a moment each time; a signal handler may call us, too
        self.bells = set()  # a lock for each who waits, released when it is worth looking again
        self.credit = link.credit  # bytes that we may send
        self.granted = 0  # bytes that the supervisor may send
        self.taken = 0  # bytes that the program took, not yet granted again
        self.opened = False  # the program wants messages
        self.queue = deque()  # of messages that it did not take: what was granted bounds it
        self.last = 0  # number of a request
        self.answers = {}  # by that number, None until they come
        self.value = None  # the result, encoded
        self.who = None

    # What the program calls

    def info(self):
        """Return who this process is in its group: rank, world_size, local_rank, local_world_size, generation, run_id."""
        if not self.who:
            from collections import namedtuple

            names = "rank world_size local_rank local_world_size generation run_id"
            get = os.environ.get
            self.who = namedtuple("Info", names, module="muster")(
                self.link.who["rank"], integer(get("WORLD_SIZE", 1)), integer(get("LOCAL_RANK")),
                integer(get("LOCAL_WORLD_SIZE", 1)), self.link.who["generation"], get("MUSTER_RUN_ID", ""))
        return self.who

    def report(self, value):
        """Make a value this rank's result, which is sent once the main program has come to a good end. The last one counts.

        TypeError, ValueError: the value cannot be sent.
        """
        data = encode(value)
        if self.link.home and self.link.home != os.getpid():
            raise NoSupervisor("a process that was forked off, or started by, the rank has no result of its own")
        self.value = data

    def tell(self, topic, value=None, timeout=None):
        """Tell who listens beside the supervisor something. It waits while they do not keep up.

        TypeError, ValueError: the topic or the value cannot be sent. TimeoutError, NoSupervisor.
        """
        self.post(checked(topic), encode(value, LETTER), deadline(timeout))

    def request(self, topic, value=None, timeout=None):
        """Ask who listens beside the supervisor something, and return the answer.

        Refused: it is an error. TypeError, ValueError: topic or value cannot be sent. TimeoutError, NoSupervisor.
        """
        return decode(self.ask(checked(topic), encode(value, LETTER), timeout))

    def messages(self, timeout=None):
        """Iterate over the messages to this rank, in order, until it is asked to stop, or until none has come for the time.

        Who never calls it gets none, and who does not take them holds their senders back. NoSupervisor.
        """
        if not self.linked():
            return iter(())
        self.hear()
        with self.lock:
            first, self.opened = not self.opened, True
            self.granted += WINDOW * first
        if first:
            self.link.send(CREDIT, bytes=WINDOW)
        return self.each(timeout)

    def barrier(self, timeout=None):
        """Return when every rank of the group has called it.

        Refused: one has ended for good, or calls something else. TimeoutError, NoSupervisor.
        """
        if self.linked():
            self.ask(RESERVED + "barrier", encode(None), timeout)

    def broadcast(self, value=None, source=0, timeout=None):
        """Meet as in barrier, and return the value that the rank source brings."""
        source = index(source, "source")
        if not self.linked():
            return decode(encode(value, LETTER))
        body = {"from": source}
        if source == self.link.who["rank"]:
            body["value"] = encode(value)
        return decode(self.open_up(self.ask(RESERVED + "broadcast", encode(body, LETTER), timeout)))

    def all_gather(self, value, timeout=None):
        """Meet as in barrier, and return the list of the values that all ranks bring, by rank."""
        data = encode(value, LETTER)
        if not self.linked():
            return [decode(data)]
        return [decode(each) for each in self.open_up(self.ask(RESERVED + "gather", data, timeout))]

    def set(self, key, value, timeout=None):
        """Keep a value under a key for all ranks to get, until this rank is started again.

        Refused: there is no room. TypeError, ValueError: key or value cannot be sent. TimeoutError, NoSupervisor.
        """
        self.ask(RESERVED + "set", encode({"key": text(key, "key"), "value": encode(value)}, LETTER), timeout)

    def get(self, key, timeout=None):
        """Return the value that some rank has set under a key, and wait until one has."""
        return decode(self.open_up(self.ask(RESERVED + "get", encode({"key": text(key, "key"), "wait": True}), timeout)))

    def lookup(self, key, default=None, timeout=None):
        """Return the value that some rank has set under a key, or the default when none has."""
        data = self.open_up(self.ask(RESERVED + "get", encode({"key": text(key, "key")}), timeout))
        return default if data is None else decode(data)

    # Sending

    def linked(self):
        """Report whether there is a supervisor, or none ever. NoSupervisor: there was one.

        It comes before any lock: in a forked child a thread may hold it that does not exist there.
        """
        link = self.link
        if link.home and link.home != os.getpid():
            raise NoSupervisor("the supervisor does not know this process: it was forked off, or started by, the rank")
        if link.home and (link.deaf or not link.pid):
            raise NoSupervisor("the supervisor is gone")
        return bool(link.home)

    def need(self):
        if not self.linked():
            raise NoSupervisor("no supervisor started this process")

    def post(self, topic, data, end):
        """Send a message that wants no answer once there is credit for it."""
        self.pay(COST + len(topic.encode()) + len(data), end)
        self.link.send(MAIL, **mail(topic=topic, value=data))

    def pay(self, cost, end):
        self.need()
        if not self.spend(cost):
            self.hear()
            self.wait(lambda: self.spend(cost) or None, end, "the supervisor has no room for a message")

    def spend(self, cost):
        with self.lock:
            if self.credit <= 0:
                return False
            self.credit -= cost
            return True

    def ask(self, topic, data, timeout):
        """Send a request and return its answer, encoded. One that is not awaited to its end is withdrawn."""
        self.need()
        end, sent = deadline(timeout), False
        with self.lock:
            self.last += 1
            number = self.last
            self.answers[number] = None
        try:
            self.hear()
            self.pay(COST + len(topic.encode()) + len(data), end)
            sent = True  # before it is: a signal that comes meanwhile is handled right after
            self.link.send(MAIL, **mail(id=number, topic=topic, value=data))
            answer = self.wait(lambda: self.answers[number], end, "no answer to %r" % topic)
        except BaseException:
            if sent:
                self.cancel(number, time.monotonic())
            raise
        finally:
            with self.lock:
                del self.answers[number]
        if answer.get("error"):
            raise Refused(answer["error"])
        return answer.get("value", b"")

    def cancel(self, number, end):
        """Withdraw a request: at once, or in a thread that waits for credit."""
        try:
            self.post(RESERVED + "cancel", pack(number), end)
        except TimeoutError:
            beside(self.cancel, number, None)
        except NoSupervisor:
            pass

    def rest(self):
        """Send all but the last piece of the result, which is returned."""
        value = self.value or b""
        last = max(0, (len(value) - 1) // PIECE * PIECE)
        try:
            for at in range(0, last, PIECE):
                self.pay(COST + PIECE, None)
                self.link.send(PART, value=value[at:at + PIECE])
        except NoSupervisor:
            pass
        return value[last:]

    # Receiving, and waiting for it

    def hear(self):
        """Have somebody read the socket."""
        if not self.link.listening:
            beside(self.link.listen)  # of two, the second ends at once

    def receive(self, kind, body):
        """Take what came, in the thread that reads. What is not as it should be is dropped."""
        try:
            body = unpack(body, message=True)[0]
            if kind == WELCOME or kind == CREDIT:
                self.grant(body.get("bytes", body.get("credit", 0)))
            elif kind == MAIL:
                self.deliver(body.get("reply", 0), body)
        except (LookupError, TypeError, ValueError, AttributeError):
            return
        self.ring()

    def grant(self, count):
        if 0 <= count <= MESSAGE:
            with self.lock:
                self.credit = min(self.credit + count, MESSAGE)

    def deliver(self, number, body):
        if not number:
            message = Message(self, body)
            if self.granted <= 0:
                raise OSError("the supervisor sends without credit")  # which breaks the link
        with self.lock:
            if not number:
                self.granted -= message._cost
                self.queue.append(message)
            elif number in self.answers:
                self.answers[number] = body

    def each(self, timeout):
        while True:
            try:
                message = self.wait(self.take, deadline(timeout), "no message")
            except TimeoutError:
                return
            if not message:
                return
            yield message

    def take(self):
        """Return the next message; False when the rank is to stop, None when there is none yet."""
        if self.link.stopping:
            return False
        with self.lock:
            if not self.queue:
                return None
            message = self.queue.popleft()
            self.taken += message._cost
            again = self.taken if self.taken >= WINDOW // 4 else 0
            self.taken -= again
            self.granted += again
        if again:
            self.link.send(CREDIT, bytes=again)
        return message

    def wait(self, look, end, what):
        """Return what look returns once that is not None."""
        bell = _thread.allocate_lock()
        bell.acquire()
        self.bells.add(bell)
        try:
            while True:
                found = look()
                if found is not None:
                    return found
                self.need()
                left = PULSE if end is None else min(end - time.monotonic(), PULSE)
                if left <= 0:
                    raise TimeoutError("muster: %s within the time" % what)
                bell.acquire(True, left)
        finally:
            self.bells.discard(bell)

    def ring(self):
        for bell in list(self.bells):
            try:
                bell.release()
            except RuntimeError:  # it was released, and nobody looked yet
                pass

    @staticmethod
    def open_up(data):
        return unpack(data)[0]


class Message:
    """What somebody beside the supervisor tells this rank: a topic and a value and, where it is wanted, an answer."""

    __module__ = "muster"
    __slots__ = ("topic", "wanted", "_office", "_number", "_data", "_cost")

    def __init__(self, office, body):
        self.topic, self._data = body.get("topic", ""), body.get("value", b"")
        self._office, self._number = office, body.get("id", 0)
        self.wanted = self._number > 0
        self._cost = COST + len(self.topic.encode()) + len(self._data)

    def __repr__(self):
        return "<muster.Message %r of %d bytes>" % (self.topic, len(self._data))

    @property
    def value(self):
        """The value, decoded anew each time. TypeError, ValueError: it has no Python form."""
        return decode(self._data)

    def reply(self, value=None):
        """Answer, once. RuntimeError: nobody waits for it. TypeError, ValueError: the value cannot be sent, another can."""
        self._answer(value=encode(value, LETTER))

    def fail(self, why):
        """Answer with an error, or a text, of which the first and the last 2 KiB are told. RuntimeError as in reply."""
        second_page()
        self._answer(error=bounded(str(why) or type(why).__name__, REASON)[0])

    def _answer(self, **body):
        self._office.need()
        with self._office.lock:
            number, self._number = self._number, 0
        if not number:
            raise RuntimeError("nobody waits for an answer to this message (any more)")
        self._office.link.send(MAIL, **mail(reply=number, **body))


def mail(**body):
    """Return the body of a Mail, whose keys come in the order of the protocol."""
    return {key: value for key, value in body.items() if value}


def beside(function, *arguments):
    """Start a thread that leaves signals to the others, from its first moment on."""
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    try:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        _thread.start_new_thread(function, arguments)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def deadline(timeout):
    return None if timeout is None else time.monotonic() + timeout


def text(value, what):
    if not isinstance(value, str):
        raise TypeError("a %s is a str, not %s" % (what, type(value).__name__))
    return value


def index(value, what):
    if not hasattr(type(value), "__index__"):
        raise TypeError("a %s is an int, not %s" % (what, type(value).__name__))
    return value.__index__()


def checked(topic):
    if len(text(topic, "topic").encode()) > TOPIC:
        raise ValueError("a topic has at most %d bytes: %.300r" % (TOPIC, topic))
    if topic.startswith(RESERVED):
        raise ValueError("topics that begin with %r are the supervisor's: %r" % (RESERVED, topic))
    return topic


# ---- Values

def encode(value, limit=None):
    """Return a value in msgpack. TypeError, ValueError: it cannot be sent, and where in it that is."""
    out = bytearray()
    put(out, value, None, NESTED)
    if limit and len(out) > limit:
        raise ValueError("the value has %d bytes in msgpack, the most is %d" % (len(out), limit))
    return bytes(out)


def put(out, value, place, depth):
    """Append a value; its place is the key that leads to it, and the place of what holds it."""
    if value is None:
        out.append(0xC0)
    elif isinstance(value, int):
        if not -1 << 63 <= value < 1 << 64:
            raise ValueError("%s has more than 64 bits" % named(place))
        out += pack(value)
    elif isinstance(value, float):
        out += b"\xcb" + struct.pack(">d", value)
    elif isinstance(value, str):
        put_text(out, value, place)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        out += pack(bytes(value))
    elif isinstance(value, (list, tuple, dict)):
        if not depth:
            raise ValueError("%s is nested deeper than %d, or holds itself" % (named(place), NESTED))
        (put_map if isinstance(value, dict) else put_list)(out, value, place, depth - 1)
    elif isinstance(value, getattr(sys.modules.get("datetime"), "datetime", ())):
        put_moment(out, value, place)
    elif isinstance(number(value), (int, float)):
        put(out, number(value), place, depth)
    else:
        hint = ": use its tolist()" if hasattr(value, "tolist") else ""
        raise TypeError("%s is of type %s%s: %s" % (named(place), type(value).__name__, hint, SENDABLE))


def number(value):
    """Return what is in a scalar of NumPy's or PyTorch's, None for anything else."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else None


def put_text(out, value, place):
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("%s is no text in UTF-8: %s" % (named(place), error)) from None
    out += pack_size(STR, len(data), 0xA0, 32) + data


def put_moment(out, value, place):
    if value.utcoffset() is None:
        raise ValueError("%s is a time without a zone: use its astimezone()" % named(place))
    since = value - epoch()
    seconds, nanos = since.days * 86400 + since.seconds, since.microseconds * 1000
    if nanos == 0 and 0 <= seconds < 1 << 32:
        out += b"\xd6" + TIME + struct.pack(">I", seconds)
    elif 0 <= seconds < 1 << 34:
        out += b"\xd7" + TIME + struct.pack(">Q", nanos << 34 | seconds)
    else:
        out += b"\xc7\x0c" + TIME + struct.pack(">Iq", nanos, seconds)


def moment(extension):
    """Return the time that an extension is, to the microsecond. KeyError: it is none; ValueError: no calendar has it."""
    nanos, data = 0, extension[1:]
    if extension[:1] != TIME or len(data) not in (4, 8, 12):
        raise KeyError(extension[0])
    if len(data) == 12:
        nanos, seconds = struct.unpack(">Iq", data)
    else:
        seconds = int.from_bytes(data, "big")
        if len(data) == 8:
            nanos, seconds = seconds >> 34, seconds & (1 << 34) - 1
    if nanos >= 10**9:
        raise KeyError(extension[0])
    from datetime import timedelta

    try:
        return epoch() + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        raise ValueError("a time that Python cannot hold: %d seconds after 1970" % seconds) from None


def epoch():
    from datetime import datetime, timezone

    return datetime(1970, 1, 1, tzinfo=timezone.utc)


def put_list(out, value, place, depth):
    value = tuple(value)  # another thread may change it
    out += pack_size(LIST, len(value), 0x90, 16)
    for n, item in enumerate(value):
        put(out, item, (n, place), depth)


def put_map(out, value, place, depth):
    value = dict(value)
    out += pack_size(MAP, len(value), 0x80, 16)
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError("%s has the key %.100r, of type %s: %s" % (named(place), key, type(key).__name__, SENDABLE))
        put_text(out, key, place)
        put(out, item, (key, place), depth)


def named(place):
    """Return what a place is called: value['loss'][3]."""
    path = ""
    while place:
        path, place = "[%.100r]%s" % (place[0], path), place[1]
    return "value" + path


def decode(data):
    """Return the value of msgpack from elsewhere; None for no bytes. TypeError, ValueError: Python has no such value."""
    if not data:
        return None
    try:
        value, end = unpack(data)
    except KeyError as error:
        raise TypeError("msgpack's code or extension 0x%02x has no Python form" % error.args) from None
    except (IndexError, TypeError, ValueError) as error:  # TypeError: a list cannot be a key
        raise ValueError("the value is not msgpack: %s" % error) from None
    if end != len(data):
        raise ValueError("the value is not msgpack: %d bytes follow it" % (len(data) - end))
    return value
