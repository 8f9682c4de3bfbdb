"""Muster's worker for Python: runs a program as Python itself would, and tells the supervisor how it ended.

    python3 [options] -c BOOT SHIM file   train.py --lr 0.1
    python3 [options] -c BOOT SHIM module pkg.train --lr 0.1
    python3 [options] -c BOOT SHIM code   'print(1)' --lr 0.1

This file is SHIM. It travels in the argument list: nothing is installed, no file is written. BOOT is one line that
compiles it under the name "<muster>" and runs it in a namespace of its own. The program then runs in the real
`__main__` module, with the argv, path, name, file and loader it would have had: it needs no change and sees no trace.

The socket that MUSTER_FD names carries frames (docs/protocol.md): Hello; Ready, just before the program's first line;
one Exception for what escapes it, or one Result when its main body came to a good end. A program that calls
sys.exit(3) or os._exit says nothing: its exit status does. Without MUSTER_FD the program simply runs.

What must hold:
  - The link never changes the program: a supervisor that is gone costs it no exception and no exit status. Only the
    process that said Hello writes; its forked children close the socket.
  - Python ends as always. What escapes is raised again, so that Python itself prints it, runs atexit handlers, joins
    threads and dies of SIGINT. We only stand in for sys.excepthook, once, to take our own frames off the traceback,
    by file name, and to tell the exception before the exit, which may hang.
  - There is no thread unless the supervisor asks for heartbeats or for the right to ask for stacks: Python 3.12 warns of
    os.fork beside a second thread. Where no parent-death signal exists, off Linux, one thread listens in any case, to
    end the process when the supervisor is gone. Progress that is held back is told by a thread that lives a moment.
  - SIGQUIT writes the stacks of all threads to standard error, and a crash (SIGSEGV, SIGABRT and so on) writes them before it
    ends the process: faulthandler's work. Who chose otherwise is left alone: an ignored or taken SIGQUIT,
    PYTHONFAULTHANDLER=0, a program that enables or registers its own.
  - The way to the program's first line is short: this file has two pages, parted by a form feed, and BOOT compiles the
    first alone. The second, and the modules it imports, is for exceptions, and for the stacks of threads.
  - Local variables are told, and asked for their repr, under MUSTER_LOCALS=1 only: they may hold secrets.

It differs from plain Python where Python leaves no choice: a few frames more are on the stack, sys.meta_path has an
entry more, which finds the module muster when nobody else does, sys.orig_argv shows the real command line, and a source that is not valid in its encoding is reported in the words of compile().
"""

import _signal
import _socket
import _thread
import os
import sys
import time

NAME = "<muster>"
VERSION = 1
HELLO, WELCOME, READY, EXCEPTION, RESULT, HEARTBEAT, PROGRESS, DUMP = 1, 2, 3, 4, 5, 6, 7, 10
MORE = 1  # the flag of every chunk but the last
FRAME, MESSAGE, TEXT, ATTRIBUTE, STACKS, NOTE = 1 << 20, 64 << 20, 64 << 10, 1 << 10, 256 << 10, 256  # limits in bytes
FRAMES, DEPTH, EXCEPTIONS, NOTES, BASES, LOCALS = 128, 16, 128, 64, 32, 1024  # limits in pieces
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


def unpack(data, at=0):
    """Return the msgpack value at a place in data, and the place after it."""
    code, at = data[at], at + 1
    if code < 0x80 or code >= 0xE0:
        return code if code < 0x80 else code - 256, at
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], at
    if code < 0xC0:
        form, size = (MAP, code & 15) if code < 0x90 else (LIST, code & 15) if code < 0xA0 else (STR, code & 31)
        return unpack_sized(data, at, form, size)
    form, width = CODES[code]
    size = int.from_bytes(data[at:at + width], "big", signed=form is INT)
    return unpack_sized(data, at + width, form, size)


def unpack_sized(data, at, form, size):
    if form in (UINT, INT, FLOAT):  # no message has a float: its bits will do for a key that is not known
        return size, at
    if form is STR or form is BIN:
        piece = data[at:at + size]
        return piece.decode() if form is STR else piece, at + size
    values = []
    for _ in range(size if form is LIST else 2 * size):
        value, at = unpack(data, at)
        values.append(value)
    return values if form is LIST else dict(zip(values[::2], values[1::2])), at


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
        kind = head[4]
        parts[kind] = parts.get(kind, b"") + read(int.from_bytes(head[:4], "big"))
        if not head[5] & MORE:
            yield kind, parts.pop(kind)


class Link(_socket.socket):
    """The worker's end of the socket. Without one, and once it is broken, every method does nothing."""

    def __init__(self, environ):
        self.pid = 0  # of the process that may write; 0 for none
        self.lock = _thread.allocate_lock()  # held for one frame
        self.over = False  # the last word was said
        self.progress = Progress(self)
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
        self.pid = os.getpid()
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

    def send(self, kind, **body):
        self.write(kind, pack(body))

    def write(self, kind, body):
        """Write one message. What keeps a frame from being written whole breaks the link."""
        if self.pid != os.getpid():
            return  # before the lock: in a forked child a thread may hold it that does not exist there
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())  # no handler raises in between
        try:
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
            return dict(unpack(next(body for kind, body in messages(self.read) if kind == WELCOME))[0])
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
        try:
            for kind, _ in messages(self.read):
                if kind == DUMP:
                    second_page()
                    self.send(DUMP, text=stacks())
        except EOFError:
            if self.pid and not self.over and sys.platform != "linux":
                os._exit(1)
        except OSError:  # the program has closed the socket
            pass

    def result(self):
        self.progress.flush()
        self.over = True
        self.send(RESULT)

    def describe(self, error):
        """Return an exception as a message: all of it, or as much as can be told."""
        if self.pid != os.getpid():
            return b""
        now = {**self.who, "pid": self.pid, "host": os.uname().nodename, "time": time.time_ns()}
        try:
            second_page()
            return report(error, now)
        except BaseException:  # out of memory, or interrupted
            return pack({"type": type(error).__name__, "truncated": True, **now})

    def raised(self, body):
        """Tell an exception, once."""
        if not self.over:
            self.progress.flush()
            self.over = True
            self.write(EXCEPTION, body)


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


class Finder:
    """Finds the module muster, which programs import to speak to the supervisor: the last to be asked, they may have one."""

    def __init__(self, progress):
        self.progress = progress

    def find_spec(self, name, path=None, target=None):
        if name != "muster":
            return None
        from _frozen_importlib import ModuleSpec

        return ModuleSpec(name, self, origin=NAME)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.progress = self.progress


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
        sys.meta_path.append(Finder(link.progress))
        forget_boot()
        run = globals()["run_" + mode](target, link)
        link.ready()
        run()
        link.result()
    except SystemExit as end:
        link.progress.flush()
        if missing(end):
            link.raised(link.describe(missing(end)))
        elif end.code is None or isinstance(end.code, int) and end.code == 0:
            link.result()
        raise
    except BaseException as error:
        stand_in(link, error)
        raise


def second_page():
    if "report" not in globals():
        exec(compile(SOURCE.partition("\f")[2], NAME, "exec"), globals())


if __name__ == NAME:
    BOOT, SOURCE = sys._getframe(1).f_code, sys.argv.pop(1)
    main()



# ---- The stacks of all threads as a message

def stacks():
    """Return the stacks of all threads but this one, without our own frames, in the form of faulthandler.

    Nothing is imported here and no source is read: the program may be stuck in either.
    """
    ours = _thread.get_ident()
    names = {ident: thread.name for ident, thread in list(getattr(sys.modules.get("threading"), "_active", {}).items())}
    parts = []
    for ident, frame in sys._current_frames().items():
        lines = []
        while frame and frame.f_code is not BOOT:
            if frame.f_code.co_filename != NAME:
                place = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
                lines.append('  File "%s", line %s in %s\n' % place)
            frame = frame.f_back
        if ident != ours and lines:
            head = "Thread 0x%016x [%s] (most recent call first):\n" % (ident, names.get(ident, ""))
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
            "members": [m for m in [self.related(m, depth, fit) for m in members(error)] if m],
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
        return self.node(error, told(error, self.variables, chain=False), depth + 1)

    def steps(self, trace, fit):
        import traceback

        places = fit.some(list(traceback.walk_tb(trace)), FRAMES // 2, FRAMES // 2)
        found = [self.held(frame, fit) for frame, _ in reversed(places)]  # of the innermost frames first
        return [
            filled({
                "file": fit.text(step.filename, 4 * ATTRIBUTE),
                "line": step.lineno or 0,
                "function": fit.text(step.name, ATTRIBUTE),
                "code": fit.text(step.line or "", ATTRIBUTE),
                "locals": held,
            })
            for step, held in zip(traceback.StackSummary.extract(places), reversed(found))
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
        import traceback

        fit, pending = Fit(), [(shown, error)]
        while pending:
            shown, error = pending.pop()
            if shown is None or error is None:
                continue
            steps = list(zip(shown.stack, traceback.walk_tb(error.__traceback__)))
            for step, (frame, _) in reversed(fit.some(steps, FRAMES // 2, FRAMES // 2)):
                step.locals = self.of(frame, fit) or None
            pending += zip(getattr(shown, "exceptions", None) or (), members(error))
            pending += (shown.__context__, error.__context__), (shown.__cause__, error.__cause__)


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
    import traceback

    if variables:
        shown = traceback.TracebackException(type(error), error, error.__traceback__)
        variables.annotate(shown, error)
        return "".join(shown.format(chain=chain))
    if not chain or sys.version_info >= (3, 13):  # from then on Python itself prints with this module
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
