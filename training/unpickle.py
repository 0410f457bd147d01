"""A reader of pickles that runs nothing from them.

Python's own unpickler imports what a pickle names and calls it. This one is an interpreter of the same opcodes
(Python's pickletools.py documents them) that builds plain values only: None, bool, int, float, str, bytes, tuple, list,
dict. A global is a name: `resolve` may give a function of ours for it; every other becomes an `Inert` object, which
swallows what is done to it. No name is looked up in a module, and nothing is hashed but str, int and bytes.

Memory is bounded before it is taken: by the bytes that are there, LARGEST_TEXT and MOST_STEPS. So is the time of a step:
none copies what an earlier one made unless it is short, and integers that are keys are too small to be made to collide. The values may share parts
(a pickle can describe 2^60 nodes by sharing), so who walks them bounds the walk.
"""

import struct

MOST_STEPS = 2_000_000  # opcodes; a checkpoint with its optimizer has some 100,000
LARGEST_TEXT = 64 << 20  # bytes of all strings of a pickle
LARGEST_INT = 64  # bytes
LONGEST_LINE = 512  # bytes, of a global's name or a number
MOST_ARGUMENTS = 64
LARGEST_KEY = 1 << 32  # from 2^61 on integers may have equal hashes


class PickleError(ValueError):
    """The pickle is not sound, or over a limit."""


class Inert:
    """Stands for a global that is not known, and for what such a one would have made."""

    def __init__(self, name):
        self.name = name


class Global:
    """A global that is known: `make(*args)` is called where the pickle would call it."""

    def __init__(self, name, make):
        self.name = name
        self.make = make


class Mark:
    """Begins a list of arguments on the stack."""


MARK = Mark()


class Unpickler:
    """Reads pickles that stand one after the other in `data` (bytes or memoryview), from `position` on.

    resolve(name): a value for the global "module.name", or None, which makes it inert.
    persistent(id): the value of a persistent id; None where there are none.
    inert: the names of the globals that stayed unknown.
    """

    def __init__(self, data, resolve, persistent=None, position=0):
        self.data = data
        self.position = position
        self.resolve = resolve
        self.persistent = persistent
        self.inert = set()
        self.stack = []
        self.memo = {}

    def load(self):
        """The value of the next pickle."""
        self.stack, self.memo, self.text_left = [], {}, LARGEST_TEXT
        start = self.position
        for _ in range(MOST_STEPS):
            at = self.position
            try:
                code = self.take(1)[0]
                if code == 0x2E:  # STOP
                    return self.pop()
                if code not in STEPS:
                    raise PickleError(f"opcode 0x{code:02x} is not known")
                STEPS[code](self)
            except PickleError as error:
                raise PickleError(f"byte {at} of the pickle: {error}") from None
        raise PickleError(f"byte {start} of the pickle: over {MOST_STEPS} opcodes")

    # --- bytes ---

    def take(self, size):
        end = self.position + size
        if end > len(self.data):
            raise PickleError(f"ends {end - len(self.data)} bytes too early")
        part = bytes(self.data[self.position : end])
        self.position = end
        return part

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self):
        part = bytes(self.data[self.position : self.position + LONGEST_LINE])
        size = part.find(b"\n")
        if size < 0:
            raise PickleError(f"no end of the line within {LONGEST_LINE} bytes")
        self.position += size + 1
        return self.decode(part[:size])

    def sized(self, form):
        size = self.number(form)
        if size < 0 or size > self.text_left:
            raise PickleError(f"a string of {size} bytes; all together may have {LARGEST_TEXT}")
        self.text_left -= size
        return self.take(size)

    @staticmethod
    def decode(part):
        try:
            return part.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return part.decode("latin-1")

    def integer(self, form):
        size = self.number(form)
        if size < 0 or size > LARGEST_INT:
            raise PickleError(f"an integer of {size} bytes, the limit is {LARGEST_INT}")
        return int.from_bytes(self.take(size), "little", signed=True)

    def decimal(self, kind):
        text = self.line().removesuffix("L")
        if kind is int and text in ("00", "01"):  # how protocol 0 writes a bool
            return text == "01"
        try:
            return kind(text)
        except ValueError:
            raise PickleError(f"{text[:32]!r} is not a number") from None

    # --- stack ---

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        if not self.stack or self.stack[-1] is MARK:
            raise PickleError("takes a value from an empty stack")
        return self.stack.pop()

    def top(self):
        if not self.stack or self.stack[-1] is MARK:
            raise PickleError("looks at an empty stack")
        return self.stack[-1]

    def pop_to_mark(self):
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is MARK:
                values = self.stack[at + 1 :]
                del self.stack[at:]
                return values
        raise PickleError("there is no mark on the stack")

    def pop_tuple(self, count):
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    # --- memo ---

    def put(self, index):
        if not 0 <= index < LARGEST_KEY:
            raise PickleError(f"memo {index} is over the limit of {LARGEST_KEY}")
        self.memo[index] = self.top()

    def get(self, index):
        if index not in self.memo:
            raise PickleError(f"memo {index} is empty")
        self.push(self.memo[index])

    # --- containers ---

    def append(self, values):
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):
            raise PickleError(f"appends to a {type(target).__name__}")

    def set_items(self, values):
        target = self.top()
        if len(values) % 2:
            raise PickleError("a key without a value")
        if isinstance(target, dict):
            for key, value in zip(values[::2], values[1::2]):
                if isinstance(key, (str, bytes)) or (isinstance(key, int) and abs(key) < LARGEST_KEY):  # others are no names
                    target[key] = value
        elif not isinstance(target, Inert):
            raise PickleError(f"sets items of a {type(target).__name__}")

    def make_dict(self, values):
        self.push({})
        self.set_items(values)

    # --- globals ---

    def find(self, module, name):
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("a global's name is not a text")
        if len(module) + len(name) > LONGEST_LINE:
            raise PickleError(f"a global's name has {len(module) + len(name)} letters, the limit is {LONGEST_LINE}")
        full = f"{module}.{name}"
        value = self.resolve(full)
        if value is None:
            self.inert.add(full)
            value = Inert(full)
        return value

    def call(self, target, args):
        """What REDUCE and NEWOBJ make."""
        if isinstance(target, Global) and isinstance(args, tuple):
            if len(args) > MOST_ARGUMENTS:
                raise PickleError(f"{target.name} gets {len(args)} arguments, the limit is {MOST_ARGUMENTS}")
            try:
                self.push(target.make(*args))
            except TypeError:
                raise PickleError(f"{target.name} does not take these {len(args)} arguments") from None
        elif isinstance(target, Inert):
            self.push(Inert(target.name))
        else:
            raise PickleError(f"calls a {type(target).__name__}")

    def reduce(self):
        args = self.pop()
        self.call(self.pop(), args)

    def new_object(self, has_keywords):
        if has_keywords:
            self.pop()
        self.reduce()

    def object_from_mark(self):
        values = self.pop_to_mark()
        if not values:
            raise PickleError("an object without a class")
        self.call(values[0], tuple(values[1:]))

    def instance(self):
        target = self.find(self.line(), self.line())
        self.call(target, tuple(self.pop_to_mark()))

    def stack_global(self):
        name = self.pop()
        self.push(self.find(self.pop(), name))

    def persistent_id(self):
        name = self.pop()
        if self.persistent is None:
            raise PickleError("a persistent id where there can be none")
        self.push(self.persistent(name))

    def protocol(self):
        version = self.number("<B")
        if version > 5:
            raise PickleError(f"protocol {version}, the highest known is 5")

    def frame(self):
        size = self.number("<Q")
        if size > len(self.data) - self.position:
            raise PickleError(f"a frame of {size} bytes, {len(self.data) - self.position} are left")


def nothing(reader):
    """BUILD and the like leave their object as it is: its state is no tensor."""
    reader.pop()
    reader.top()


def pushes(read):
    return lambda r: r.push(read(r))


STEPS = {
    ord("N"): pushes(lambda r: None),
    0x88: pushes(lambda r: True),
    0x89: pushes(lambda r: False),
    ord("I"): pushes(lambda r: r.decimal(int)),
    ord("L"): pushes(lambda r: r.decimal(int)),
    ord("F"): pushes(lambda r: r.decimal(float)),
    ord("J"): pushes(lambda r: r.number("<i")),
    ord("K"): pushes(lambda r: r.number("<B")),
    ord("M"): pushes(lambda r: r.number("<H")),
    ord("G"): pushes(lambda r: r.number(">d")),
    0x8A: pushes(lambda r: r.integer("<B")),
    0x8B: pushes(lambda r: r.integer("<i")),
    ord("V"): pushes(lambda r: r.line()),
    ord("S"): pushes(lambda r: r.line().strip("'\"")),
    ord("U"): pushes(lambda r: r.decode(r.sized("<B"))),  # a str of Python 2
    ord("T"): pushes(lambda r: r.decode(r.sized("<i"))),
    ord("X"): pushes(lambda r: r.decode(r.sized("<I"))),
    0x8C: pushes(lambda r: r.decode(r.sized("<B"))),
    0x8D: pushes(lambda r: r.decode(r.sized("<Q"))),
    ord("C"): pushes(lambda r: r.sized("<B")),
    ord("B"): pushes(lambda r: r.sized("<I")),
    0x8E: pushes(lambda r: r.sized("<Q")),
    0x96: pushes(lambda r: r.sized("<Q")),
    ord(")"): pushes(lambda r: ()),
    ord("]"): pushes(lambda r: []),
    ord("}"): pushes(lambda r: {}),
    0x8F: pushes(lambda r: Inert("builtins.set")),
    0x91: lambda r: (r.pop_to_mark(), r.push(Inert("builtins.frozenset"))),
    ord("("): lambda r: r.push(MARK),
    ord("0"): lambda r: r.stack.pop() if r.stack else r.pop(),
    ord("1"): lambda r: r.pop_to_mark(),
    ord("2"): pushes(lambda r: r.top()),
    0x85: lambda r: r.pop_tuple(1),
    0x86: lambda r: r.pop_tuple(2),
    0x87: lambda r: r.pop_tuple(3),
    ord("t"): pushes(lambda r: tuple(r.pop_to_mark())),
    ord("l"): pushes(lambda r: r.pop_to_mark()),
    ord("d"): lambda r: r.make_dict(r.pop_to_mark()),
    ord("a"): lambda r: r.append([r.pop()]),
    ord("e"): lambda r: r.append(r.pop_to_mark()),
    0x90: lambda r: r.append(r.pop_to_mark()),
    ord("s"): lambda r: r.set_items([r.pop(), r.pop()][::-1]),
    ord("u"): lambda r: r.set_items(r.pop_to_mark()),
    ord("g"): lambda r: r.get(r.decimal(int)),
    ord("h"): lambda r: r.get(r.number("<B")),
    ord("j"): lambda r: r.get(r.number("<I")),
    ord("p"): lambda r: r.put(r.decimal(int)),
    ord("q"): lambda r: r.put(r.number("<B")),
    ord("r"): lambda r: r.put(r.number("<I")),
    0x94: lambda r: r.put(len(r.memo)),
    ord("c"): pushes(lambda r: r.find(r.line(), r.line())),
    0x93: lambda r: r.stack_global(),
    ord("R"): lambda r: r.reduce(),
    0x81: lambda r: r.new_object(False),
    0x92: lambda r: r.new_object(True),
    ord("o"): lambda r: r.object_from_mark(),
    ord("i"): lambda r: r.instance(),
    ord("b"): nothing,
    ord("Q"): lambda r: r.persistent_id(),
    0x80: lambda r: r.protocol(),
    0x95: lambda r: r.frame(),
}
