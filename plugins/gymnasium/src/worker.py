"""A worker of Potstill's Gymnasium plugin: steps copies of environments for the program that started it.

Commands come from standard input: a byte that names one, the group of copies, the length of the payload, and the payload.
Answers go to standard output: 0 or 1 (an error, in words), the length, and the payload. Observations, actions and the like are in
a file that both processes map. The argument is a pipe that ends when the program does.
"""
import fcntl
import importlib
import json
import mmap
import os
import select
import signal
import struct
import sys
import traceback

HEADER, ANSWER = struct.Struct("<cIQ"), struct.Struct("<BQ")


class Refused(Exception):
    """What the user asked for cannot be done. Its text is the whole message."""


def end_with_the_program(pipe):
    """The system ends this process once the other end of `pipe` is closed, whatever an environment does at that time."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:
        os._exit(0)


def imported(path):
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    if not name:
        raise Refused(f"`{path}` is not a wrapper; expected `module:Class`")
    return getattr(importlib.import_module(module), name)


def observed(space, images):
    """How observations of `space` become numbers: the kind, shape and bounds, and a function that prepares one, or None."""
    if not isinstance(space, gymnasium.spaces.Box):
        try:
            flat = gymnasium.spaces.utils.flatten_space(space)
        except NotImplementedError:
            flat = None
        if not isinstance(flat, gymnasium.spaces.Box):
            raise Refused(
                f"the observation space {space} has a part that has no fixed number of numbers; a wrapper of Gymnasium may "
                "choose others (the option `wrappers`)"
            )
        return *numbers(flat), lambda observation: gymnasium.spaces.utils.flatten(space, observation)
    low, high, shape = space.low, space.high, space.shape
    if images and space.dtype == np.uint8 and len(shape) in (2, 3) and np.all(low == 0) and np.all(high == 255):
        if len(shape) == 2:
            return {"kind": "image", "shape": [1, *shape]}, (1, *shape), lambda observation: observation[None]
        if shape[2] <= 4:
            height, width, channels = shape
            shape = (channels, height, width)
            return {"kind": "image", "shape": shape}, shape, lambda observation: observation.transpose(2, 0, 1)
        return {"kind": "image", "shape": shape}, shape, None
    return *numbers(space), None


def numbers(box):
    """The kind, shape and bounds of a Box, and its shape."""
    return {"kind": "box", "shape": box.shape, "low": bounds(box.low), "high": bounds(box.high)}, box.shape


def bounds(values):
    """Bounds as numbers that JSON has: what is beyond single precision stands for infinity. One if all are equal."""
    values = np.asarray(values, np.float64).ravel()
    if np.isnan(values).any():
        raise Refused("a space has a bound that is NaN")
    values = np.clip(values, -1e39, 1e39)
    return values[:1].tolist() if values.size and (values == values[0]).all() else values.tolist()


def acted(space):
    """How numbers become actions of `space`: the kind and its sizes, and a function from `[N, numbers]` to N actions."""
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n)}, lambda rows: rows[:, 0].astype(space.dtype) + space.start
    if isinstance(space, spaces.MultiDiscrete):
        nvec, start = space.nvec, getattr(space, "start", 0)
        shaped = lambda rows: rows.astype(space.dtype).reshape(-1, *nvec.shape) + start
        return {"kind": "multi-discrete", "nvec": nvec.ravel().tolist()}, shaped
    if isinstance(space, spaces.MultiBinary):
        shaped = lambda rows: rows.astype(space.dtype).reshape(-1, *space.shape)
        return {"kind": "multi-discrete", "nvec": [2] * int(np.prod(space.shape))}, shaped
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        shaped = lambda rows: rows.astype(space.dtype).reshape(-1, *space.shape)
        return numbers(space)[0], shaped
    raise Refused(
        f"the action space {space} is not supported; Discrete, MultiDiscrete, MultiBinary and Box of floats are"
    )


class Group:
    """Copies of an environment."""

    def __init__(self, count, id, kwargs, wrappers, max_episode_steps, images, render):
        self.at = None
        try:
            kwargs = json.loads(kwargs or "{}")
        except ValueError as error:
            raise Refused(f"the option `kwargs` is not JSON: {error}")
        if not isinstance(kwargs, dict):
            raise Refused('the option `kwargs` is not a JSON object, such as {"continuous": true}')
        module, _, name = id.rpartition(":")
        if module:
            importlib.import_module(module)
        try:
            spec = gymnasium.spec(name)
        except gymnasium.error.NameNotFound as error:
            if module or "Did you mean" in str(error):
                raise Refused(str(error))
            raise Refused(f"{error} If a module registers it, name that: `gym/make --set id=MODULE:{name}`")
        if render in ("rgb_array", "ansi"):
            kwargs["render_mode"] = render
        self.render = render
        wrappers = [imported(path.strip()) for path in wrappers.split(",") if path.strip()]
        self.envs = []
        for _ in range(count):
            env = gymnasium.make(name, max_episode_steps=max_episode_steps or None, disable_env_checker=True, **kwargs)
            for wrapper in wrappers:
                env = wrapper(env)
            self.envs.append(env)
        env = self.envs[0]
        observation, self.shape, self.prepare = observed(env.observation_space, images)
        action, self.actions_of = acted(env.action_space)
        spec = env.spec or spec
        self.spec = {
            "observation": observation,
            "action": action,
            "max_episode_steps": spec.max_episode_steps,
            "reward_threshold": None if spec.reward_threshold is None else float(spec.reward_threshold),
        }

    def attach(self, path, copies, first, offsets):
        """Uses rows `first` and on of the arrays in the file, which has those of all `copies`."""
        with open(path, "r+b") as file:
            shared = mmap.mmap(file.fileno(), 0)
        box, action = self.spec["observation"]["kind"] == "box", self.spec["action"]
        kind = np.float32 if action["kind"] == "box" else np.uint32
        width = int(np.prod(action["shape"])) if action["kind"] == "box" else len(action.get("nvec", [0]))

        def array(name, dtype, *shape):
            whole = np.ndarray((copies, *shape), dtype, shared, offsets[name])
            return whole[first : first + len(self.envs)]

        self.seeds = array("seeds", np.uint64)
        self.actions = array("actions", kind, width)
        self.observations = array("observations", np.float32 if box else np.uint8, *self.shape)
        self.finals = array("finals", np.float32 if box else np.uint8, *self.shape)
        self.rewards = array("rewards", np.float32)
        self.terminated = array("terminated", np.uint8)
        self.truncated = array("truncated", np.uint8)

    def write(self, rows, index, observation):
        if self.prepare is not None:
            observation = self.prepare(observation)
        observation = np.asarray(observation)
        if observation.shape != self.shape:
            raise Refused(f"an observation has the shape {observation.shape}, and its space {self.shape}")
        rows[index] = observation

    def reset(self):
        for self.at, (env, seed) in enumerate(zip(self.envs, self.seeds.tolist())):
            # Many a simulator has seeds of 31 bits.
            observation, _ = env.reset(seed=(seed ^ seed >> 32) & 0x7FFFFFFF)
            self.write(self.observations, self.at, observation)

    def step(self):
        outcomes = []
        for self.at, (env, action) in enumerate(zip(self.envs, self.actions_of(self.actions))):
            observation, reward, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                self.write(self.finals, self.at, observation)
                observation, _ = env.reset()
            self.write(self.observations, self.at, observation)
            outcomes.append((float(reward), bool(terminated), bool(truncated and not terminated)))
        # At once: NumPy takes as long for one number as for many.
        self.rewards[:], self.terminated[:], self.truncated[:] = zip(*outcomes)

    def draw(self, index, text):
        """A picture: width, height and RGB pixels; or a text."""
        env, mode = self.envs[index], "ansi" if text else "rgb_array"
        made = env.render_mode
        if made == mode:
            frame = env.render()
        elif self.render == "auto" and mode in (env.metadata.get("render_modes") or []):
            # Made without a render_mode, which slows some environments down even while they do not draw.
            env.unwrapped.render_mode = mode
            try:
                frame = env.render()
            finally:
                env.unwrapped.render_mode = made
        else:
            raise Refused("this environment does not draw " + ("text" if text else "pictures"))
        if frame is None:
            raise Refused(f"this environment draws only if it is made to: --set render={mode}")
        if text:
            return str(frame).encode()
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise Refused(f"a picture has the shape {frame.shape}, expected (height, width, 3)")
        height, width, _ = frame.shape
        return struct.pack("<II", width, height) + frame.astype(np.uint8).tobytes()

    def close(self):
        for env in self.envs:
            env.close()


def words(error):
    """An error as at the end of a traceback, in one line, and where it was raised."""
    if isinstance(error, Refused):
        return str(error)
    lines = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()
    # Those of a syntax error show the source.
    line = " ".join(lines[-1:] if isinstance(error, SyntaxError) else lines)
    # All but this program and parts of Python itself.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return "".join(c if c.isprintable() else " " for c in line) + place


def main():
    end_with_the_program(int(sys.argv[1]))
    # Ctrl-C reaches every process of the terminal; the program decides when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What environments print must not mix with the answers.
    commands, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # Modules in the folder of the user, but none that hides an installed one.
    sys.path[:] = [path for path in sys.path if path] + [os.getcwd()]

    def read(length):
        data = b""
        while len(data) < length:
            more = os.read(commands, length - len(data))
            if not more:
                os._exit(0)
            data += more
        return data

    def answer(failed, payload):
        data = memoryview(ANSWER.pack(failed, len(payload)) + payload)
        while data:
            data = data[os.write(answers, data) :]

    global gymnasium, np
    groups = {}
    try:
        import gymnasium
        import numpy as np

        answer(0, gymnasium.__version__.encode())
    except BaseException as error:
        answer(1, struct.pack("<i", -1) + words(error).encode())
        return
    while True:
        command, number, length = HEADER.unpack(read(HEADER.size))
        payload, group, reply = read(length), groups.get(number), b""
        try:
            if command == b"s":
                group.step()
            elif command == b"r":
                group.reset()
            elif command == b"d":
                reply = group.draw(*struct.unpack("<I?", payload))
            elif command == b"m":
                group = groups[number] = Group(**json.loads(payload))
                reply = json.dumps(group.spec).encode()
            elif command == b"a":
                group.attach(**json.loads(payload))
            elif groups.pop(number, None) is not None:
                group.close()
            answer(0, reply)
        except BaseException as error:
            at = getattr(group, "at", None)
            answer(1, struct.pack("<i", -1 if at is None or command == b"m" else at) + words(error).encode())


main()
