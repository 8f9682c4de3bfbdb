"""The shim's own tests, for any Python that it supports: python3 shim_test.py. The Go tests run them too."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "..", "testdata", "frames.json")

shim = types.ModuleType("shim")
with open(os.path.join(HERE, "shim.py"), encoding="ascii") as file:
    exec(compile(file.read(), "shim.py", "exec"), vars(shim))


def value(body):
    """Return a golden body with its binary values and its long runs spelt out."""
    if isinstance(body, list):
        return [value(item) for item in body]
    if not isinstance(body, dict):
        return body
    if "$bin" in body:
        return bytes.fromhex(body["$bin"])
    if "$repeat" in body:
        return bytes.fromhex(body["$repeat"]) * body["$count"]
    if "$text" in body:
        return body["$text"] * body["$count"]
    return {key: value(item) for key, item in body.items()}


def reader(data):
    def read(size):
        nonlocal data
        if len(data) < size:
            raise EOFError
        piece, data = data[:size], data[size:]
        return piece

    return read


def first(kind, data):
    return next(body for k, body in shim.messages(reader(data)) if k == kind)


class Golden(unittest.TestCase):
    def setUp(self):
        with open(GOLDEN, encoding="utf-8") as file:
            self.entries = json.load(file)

    def test_pack(self):
        for entry in self.entries:
            if entry.get("decode_only"):
                continue
            with self.subTest(entry["name"]):
                wire = b"".join(shim.frames(entry["kind"], shim.pack(value(entry["body"]))))
                if "hex" in entry:
                    self.assertEqual(wire.hex(), entry["hex"])
                else:
                    self.assertEqual(hashlib.sha256(wire).hexdigest(), entry["sha256"])

    def test_unpack(self):
        for entry in self.entries:
            wire = bytes.fromhex(entry.get("hex", ""))
            if not wire:
                wire = b"".join(shim.frames(entry["kind"], shim.pack(value(entry["body"]))))
            with self.subTest(entry["name"]):
                body = first(entry["kind"], wire)
                got, end = shim.unpack(body, message=True)
                self.assertEqual(end, len(body))
                want = value(entry["body"])
                self.assertEqual({k: v for k, v in got.items() if k != "later"}, {k: v for k, v in want.items() if k != "later"})


class Wire(unittest.TestCase):
    def test_surrogates_become_escapes(self):
        self.assertEqual(shim.unpack(shim.pack("a\udcffb"))[0], "a\\udcffb")

    def test_a_reserved_code_is_refused(self):
        with self.assertRaises(LookupError):
            shim.unpack(b"\xc1")

    def test_a_short_message_is_refused(self):
        with self.assertRaises(LookupError):
            shim.unpack(b"\x81\xa1x")

    def test_an_unknown_key_has_any_value(self):
        for strange in (
            "d4ff00", "d5ff0000", "d6ff00000000", "d7ff" + "00" * 8, "d801" + "00" * 16, "c70001", "c70301aabbcc", "c8000201aabb",
            "c90000000101aa", "9281d6ff00000000c001", "8190c0", "81d40100c3", "a1ff", "ca3e800000", "81a178d40100",
        ):
            with self.subTest(strange):
                wire = bytes.fromhex("83a26e77" + strange + "a5746f706963a26c72a56c61746572" + strange)
                body, end = shim.unpack(wire, message=True)
                self.assertEqual((body["topic"], end), ("lr", len(wire)))
                for cut in range(len(wire)):
                    with self.assertRaises(LookupError):
                        shim.unpack(wire[:cut], message=True)

    def test_text_in_a_message_is_replaced(self):
        self.assertEqual(shim.unpack(b"\x81\xa5topic\xa2a\xff", message=True)[0], {"topic": "a\ufffd"})

    def test_chunks_of_two_kinds_interleave(self):
        body = shim.pack("x" * (2 * shim.FRAME))
        chunks = list(shim.frames(4, body))
        beat = next(shim.frames(6, b"\x80"))
        self.assertEqual(len(chunks), 3)
        self.assertEqual(first(4, chunks[0] + beat + chunks[1] + beat + chunks[2]), body)


class Values(unittest.TestCase):
    def test_round_trip(self):
        for value in (
            None, True, False, 0, 127, 128, 1 << 16, 1 << 32, (1 << 64) - 1, -1, -32, -33, -(1 << 15) - 1, -(1 << 63),
            0.0, -1.5, 1e300, float("inf"), "", "\u5b66" * 100, b"", bytes(70000), [], list(range(100000)), {},
            {"": {"a": [None]}},
        ):
            self.assertEqual(shim.decode(shim.encode(value)), value)
        self.assertEqual(shim.decode(shim.encode((1, bytearray(b"x"), memoryview(b"y")))), [1, b"x", b"y"])
        self.assertNotEqual(*[shim.decode(shim.encode(float("nan")))] * 2)

    def test_floats(self):
        self.assertEqual(shim.decode(bytes.fromhex("cb3fb999999999999a")), 0.1)
        self.assertEqual(shim.decode(bytes.fromhex("ca3e800000")), 0.25)
        self.assertEqual(shim.encode(0.1).hex(), "cb3fb999999999999a")

    def test_subclasses_are_sent_as_what_they_are(self):
        class Kind(int):
            pass

        class Name(str):
            pass

        self.assertEqual(shim.encode({Name("n"): Kind(7)}), shim.encode({"n": 7}))

    def test_scalars_of_other_packages(self):
        class Scalar:
            shape = ()

            def __init__(self, value):
                self.item = lambda: value

        self.assertEqual(shim.encode([Scalar(1), Scalar(True), Scalar(0.5)]), shim.encode([1, True, 0.5]))
        for value in (Scalar(1j), Scalar(None), mock.Mock(shape=(1,))):
            with self.assertRaisesRegex(TypeError, r"^value\[0\] is of type "):
                shim.encode([value])

    def test_numpy(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("there is no NumPy here")
        scalars = [numpy.float32(0.5), numpy.int64(3), numpy.bool_(True), numpy.array(2)]
        self.assertEqual(shim.encode(scalars), shim.encode([0.5, 3, True, 2]))
        with self.assertRaisesRegex(TypeError, "is of type ndarray: use its tolist"):
            shim.encode(numpy.array([1]))

    def test_depth(self):
        value = 1
        for _ in range(shim.NESTED):
            value = [value]
        self.assertEqual(shim.decode(shim.encode(value)), value)
        with self.assertRaisesRegex(ValueError, "nested deeper than 64"):
            shim.encode({"a": value})
        with self.assertRaisesRegex(ValueError, "nested deeper than 64"):
            shim.decode(b"\x91" + shim.encode(value))
        value = []
        value.append(value)
        with self.assertRaisesRegex(ValueError, "or holds itself"):
            shim.encode(value)

    def test_times(self):
        from datetime import datetime, timedelta, timezone

        for text, data in {
            "1970-01-01T00:00:00+00:00": "d6ff00000000", "2026-11-29T13:34:17+01:00": "d6ff6a0e4a09",
            "2026-11-29T12:34:17.123456+00:00": "", "1969-12-31T23:59:59.5+00:00": "", "2600-01-01T00:00:00+00:00": "",
            "0001-01-01T00:00:00+00:00": "c70cff00000000fffffff1886e0900", "9999-12-31T23:59:59.999999+00:00": "",
        }.items():
            time = datetime.fromisoformat(text.replace(".5+", ".500000+"))
            got = shim.decode(shim.encode(time))
            self.assertEqual((got, got.utcoffset()), (time, timedelta()))
            if data and time.utcoffset() == timedelta():
                self.assertEqual(shim.encode(time).hex(), data)
        self.assertEqual(shim.decode(bytes.fromhex("d7ff000003fc00000001")), datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc))
        for far in ("c70cff000000007fffffffffffffff", "c70cff000000000000010000000000"):
            with self.assertRaises(ValueError):
                shim.decode(bytes.fromhex(far))

    def test_what_is_no_value(self):
        for data in (
            "c1", "d4ff00", "c70001", "d60100000000", "c70bff0000000000000000000000",
            "d7ffffffffff87878787", "c70cff3b9aca000000000000000001",  # a second and more of nanoseconds
        ):
            with self.assertRaises(TypeError):
                shim.decode(bytes.fromhex(data))
        for data in ("91", "dcffff", "ddffffffff", "a3e5ad", "a1ff", "c4", "c402ff", "cd01", "81", "819001", "0000", "cb00"):
            with self.assertRaises(ValueError, msg=data):
                shim.decode(bytes.fromhex(data))

    def test_messages_are_those_of_go(self):
        with open(GOLDEN, encoding="utf-8") as file:
            entries = {e["name"]: e for e in json.load(file) if e["kind"] in (shim.MAIL, shim.CREDIT, shim.PART)}
        self.assertEqual(len(entries), 10)
        for name, body in {
            "mail, an answer is awaited": shim.mail(id=7, topic="score \u2014 \u70b9", value=shim.encode(42)),
            "mail, no answer is awaited": shim.mail(id=0, topic="lr", value=shim.encode(0.1)),
            "mail, an answer": shim.mail(reply=7, value=shim.encode(None)),
            "mail, an error in place of an answer": shim.mail(reply=7, error="no such shard"),
        }.items():
            wire = b"".join(shim.frames(shim.MAIL, shim.pack(body)))
            self.assertEqual(wire.hex(), entries[name]["hex"])


class Frames(unittest.TestCase):
    def test_what_is_too_long_breaks_the_link(self):
        long = (shim.FRAME + 1).to_bytes(4, "big") + b"\x08\x00"
        chunk = shim.FRAME.to_bytes(4, "big") + b"\x08\x01" + bytes(shim.FRAME)
        for data in (long, chunk * 4):
            with mock.patch.object(shim, "MESSAGE", 3 << 20), self.assertRaises(OSError):
                list(shim.messages(reader(data)))


def raised(code):
    """Return what a line of code raises."""
    try:
        exec(code, {})
    except BaseException as error:
        return error.with_traceback(error.__traceback__.tb_next)
    raise AssertionError("nothing was raised")


def node(error):
    return shim.Tree(shim.EXCEPTIONS).node(error, "text")


def depth(body, key):
    return 1 + depth(body[key], key) if key in body else 1


def count(body):
    kin = [body.get("cause"), body.get("context"), *body.get("members", ())]
    return 1 + sum(count(b) for b in kin if b)


class Limits(unittest.TestCase):
    def test_a_text_that_just_fits_is_kept(self):
        fit = shim.Fit()
        self.assertEqual(fit.text("x" * shim.TEXT), "x" * shim.TEXT)
        self.assertFalse(fit.lost)

    def test_a_longer_text_keeps_both_ends_and_whole_characters(self):
        for shift in range(4):
            fit = shim.Fit()
            text = fit.text("a" * shift + "\U0001F680" * shim.TEXT + "end")
            self.assertTrue(fit.lost)
            self.assertLessEqual(len(text.encode()), shim.TEXT)
            self.assertGreater(len(text.encode()), shim.TEXT - 16)
            self.assertTrue(text.startswith("a" * shift + "\U0001F680") and text.endswith("end"))
            self.assertIn(shim.MARK, text)
            self.assertNotIn("\ufffd", text)

    def test_frames(self):
        body = node(raised("def f(n):\n  return f(n - 1) if n else 1 / 0\nf(200)"))
        self.assertEqual(len(body["frames"]), shim.FRAMES)
        self.assertEqual(body["frames"][0]["function"], "<module>")
        self.assertTrue(body["truncated"])

    def test_depth(self):
        error = None
        for n in range(100):
            error, error_before = ValueError(n), error
            error.__cause__ = error_before
        body = node(error)
        self.assertEqual(depth(body, "cause"), shim.DEPTH)
        for level in range(1, shim.DEPTH):
            self.assertEqual(body.get("truncated", False), level == shim.DEPTH - 1)
            body = body["cause"]
        self.assertEqual(body["message"], "0", "the end of the chain is told, and its middle is not")

    def test_the_end_of_a_chain_of_contexts(self):
        error = KeyError("first")
        for n in range(50):
            error, context = ValueError(n), error
            error.__context__ = context
            error.__suppress_context__ = n == 20
        body = node(error)
        while "context" in body:
            body = body["context"]
        self.assertEqual(body["message"], "20", "what is behind it was suppressed")

    def test_a_circle_longer_than_a_chain(self):
        errors = [ValueError(n) for n in range(40)]
        for n, error in enumerate(errors):
            error.__cause__ = errors[(n + 1) % 40]
        self.assertEqual(depth(node(errors[0]), "cause"), shim.DEPTH)

    def test_circles(self):
        one, two, three = ValueError(1), ValueError(2), ValueError(3)
        one.__context__, two.__context__, three.__context__ = two, three, one
        one.__cause__ = two
        self.assertEqual(count(node(one)), 3)

    def test_notes_and_attributes(self):
        error = ValueError()
        error.__notes__ = ["n"] * 100
        for n in range(100):
            setattr(error, "a%03d" % n, "x" * 5000)
        body = node(error)
        self.assertEqual(len(body["notes"]), shim.NOTES)
        self.assertEqual(sorted(body["attributes"]), list(body["attributes"]))
        self.assertEqual(len(body["attributes"]), shim.NOTES)
        self.assertLessEqual(max(len(v.encode()) for v in body["attributes"].values()), shim.ATTRIBUTE)
        self.assertTrue(body["truncated"])

    @unittest.skipIf(sys.version_info < (3, 11), "exception groups came with Python 3.11")
    def test_exceptions(self):
        body = node(ExceptionGroup("many", [ValueError(n) for n in range(500)]))
        self.assertEqual(count(body), shim.EXCEPTIONS)
        self.assertTrue(body["truncated"])

    def test_a_message_too_long_for_the_link_goes_alone(self):
        error = ValueError(1)
        error.__cause__ = ValueError(2)
        error.__cause__.__notes__ = ["n" * 300]
        with mock.patch.object(shim, "MESSAGE", 300):
            body = shim.unpack(shim.report(error, {"pid": 7}))[0]
        self.assertEqual((count(body), body["truncated"], body["pid"]), (1, True, 7))


class Code(unittest.TestCase):
    """The lines of code beside a traceback are those of linecache, with and without it."""

    def places(self, name, data, line):
        source = "\n" * (line - 1) + "raise ValueError"
        if data is not None:
            with open(name, "wb") as file:
                file.write(data)
        try:
            exec(compile(source, name, "exec"), {"__name__": "x"})
        except ValueError as error:
            return [shim.walk(error.__traceback__)[-1]]

    def check(self, places, code):
        import linecache

        self.assertEqual([code], shim.codes(places))
        with mock.patch.dict(sys.modules):
            del sys.modules["linecache"]
            self.assertEqual([code], shim.codes(places))
        linecache.clearcache()

    def test_files(self):
        latin = "# coding: latin-1\nraise ValueError # \xe9".encode("latin-1")
        with tempfile.TemporaryDirectory() as there:
            for name, data, line, code in [
                ("plain", b"\n  raise ValueError # \xc3\xa9\n", 2, "raise ValueError # \xe9"),
                ("dos", b"\r\nraise ValueError\r\n", 2, "raise ValueError"),
                ("mark", b"\xef\xbb\xbfraise ValueError", 1, "raise ValueError"),
                ("cookie", b"# -*- coding: utf-8 -*-\nraise ValueError", 2, "raise ValueError"),
                ("latin", latin, 2, "raise ValueError # \xe9"),
                ("feed", b"\x0c\n\x0craise ValueError", 2, "raise ValueError"),
                ("short", b"pass\n", 3, ""),
                ("binary", b"\xff\xfe\n\xff", 2, ""),
                ("missing", None, 1, ""),
            ]:
                with self.subTest(name):
                    self.check(self.places(os.path.join(there, name), data, line), code)

    def test_what_is_no_file(self):
        self.check(self.places("<string>", None, 1), "")

    def test_a_loader_that_has_the_source(self):
        with tempfile.TemporaryDirectory() as there:
            archive = os.path.join(there, "code.zip")
            with zipfile.ZipFile(archive, "w") as file:
                file.writestr("in_a_zip.py", "def fail():\n    raise ValueError('zip')\n")
            with mock.patch.object(sys, "path", [archive]):
                import in_a_zip
            try:
                in_a_zip.fail()
            except ValueError as error:
                self.check(shim.walk(error.__traceback__)[-1:], "raise ValueError('zip')")

    def test_nothing_that_takes_long_is_imported(self):
        code = (
            "import sys, types; shim = types.ModuleType('shim'); exec(open(sys.argv[1]).read(), vars(shim))\n"
            "try:\n    open('/nonexistent/file')\n"
            "except OSError as error:\n    shim.report(error, {})\n"
            "print([name for name in ('traceback', 'linecache', 'tokenize', 're') if name in sys.modules])"
        )
        script = os.path.join(HERE, "shim.py")
        said = subprocess.run([sys.executable, "-S", "-c", code, script], stdout=subprocess.PIPE, check=True).stdout
        wanted = b"[]\n" if sys.version_info < (3, 13) else said  # Python itself prints with traceback from then on
        self.assertEqual(wanted, said)


class Description(unittest.TestCase):
    def test_a_context_that_is_the_cause_is_told_once(self):
        body = node(raised("try: 1 / 0\nexcept ZeroDivisionError as e: raise ValueError(7) from e"))
        self.assertEqual(body["cause"]["type"], "ZeroDivisionError")
        self.assertNotIn("context", body)
        self.assertTrue(body["suppressed"])

    def test_builtin_attributes(self):
        self.assertEqual(node(OSError(2, "no", "/x"))["attributes"], {"errno": "2", "filename": "'/x'", "strerror": "'no'"})
        self.assertEqual(node(raised("import nosuch.thing"))["attributes"]["name"], "'nosuch'")
        self.assertNotIn("attributes", node(ValueError(1)))

    def test_base_classes(self):
        class Torn(OSError):
            pass

        class Both(Torn, ValueError):
            pass

        self.assertEqual(node(Both())["bases"], [__name__ + "." + Torn.__qualname__, *(
            "builtins." + name for name in ("OSError", "ValueError", "Exception", "BaseException"))])
        self.assertEqual(node(BaseException()).get("bases"), None)

    def test_the_nearest_base_classes(self):
        kind = ValueError
        for n in range(100):
            kind = type("Kind%d" % n, (kind,), {"__module__": "m" * 2000})
        body = node(kind())
        self.assertEqual(len(body["bases"]), shim.BASES)
        self.assertTrue(body["bases"][0].endswith(".Kind98"))
        self.assertLessEqual(max(map(len, map(str.encode, body["bases"]))), shim.ATTRIBUTE)
        self.assertTrue(body["truncated"])

    def test_a_class_whose_names_fight_back(self):
        class Nameless(type):
            def __getattribute__(self, name):
                if name in ("__name__", "__qualname__", "__module__"):
                    raise RuntimeError(name)
                return type.__getattribute__(self, name)

        link = shim.Link({"RANK": "3"})
        link.pid = os.getpid()
        body = shim.unpack(link.describe(Nameless("E", (Exception,), {})()))[0]
        self.assertEqual((body["type"], body["truncated"], body["rank"]), ("E", True, 3))

    def test_an_attribute_that_fights_back(self):
        class Odd:
            def __repr__(self):
                raise SystemExit(9)

        error = ValueError(1)
        error.odd, error._private = Odd(), 1
        self.assertEqual(node(error)["attributes"], {"odd": "<repr() failed>"})

    def test_representations_stay_cheap(self):
        class Heavy:
            def __repr__(self):
                raise AssertionError("one too many")

        self.assertLess(len(shim.short(bytes(1 << 20))), 8 * shim.ATTRIBUTE)
        self.assertLess(len(shim.short("x" * (1 << 20))), 8 * shim.ATTRIBUTE)
        self.assertLess(len(shim.short(list(range(1 << 16)))), 8 * shim.ATTRIBUTE)
        self.assertIn("...", shim.short(["x"] * shim.NOTES + [Heavy()]))

    def test_str_that_raises(self):
        class Mute(Exception):
            def __str__(self):
                raise KeyboardInterrupt

        self.assertEqual(node(Mute())["message"], "<exception str() failed>")

    @unittest.skipIf(sys.version_info < (3, 11), "exception groups came with Python 3.11")
    def test_a_member_that_is_the_context_is_a_member(self):
        body = node(raised("try: 1 / 0\nexcept ZeroDivisionError as e: raise ExceptionGroup('g', [e, KeyError(1)]) from None"))
        self.assertEqual([m["type"] for m in body["members"]], ["ZeroDivisionError", "KeyError"])
        self.assertNotIn("context", body)

    def test_notes_that_are_none(self):
        error = ValueError()
        error.__notes__ = 7
        self.assertEqual(node(error)["notes"], ["7"])
        error.__notes__ = ["a", 7]
        self.assertEqual(node(error)["notes"], ["a", "7"])

    def test_the_group_of_the_backport(self):
        class BaseExceptionGroup(Exception):
            exceptions = (ValueError(1), KeyError(2))

        self.assertEqual([m["type"] for m in node(BaseExceptionGroup("two"))["members"]], ["ValueError", "KeyError"])


if __name__ == "__main__":
    unittest.main()
