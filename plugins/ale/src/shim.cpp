// The functions of the Arcade Learning Environment that the plugin calls, without exceptions and classes. Whoever calls them
// uses one machine from one thread at a time.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "ale/ale_interface.hpp"

using namespace ale;

// ALE averages the colors of two frames only if its setting `color_averaging` says so, which it does not here. Its tables for
// that take 40 ms of every machine.
PhosphorBlend::PhosphorBlend(stella::OSystem* system) : m_osystem(system) {}
void PhosphorBlend::process(ALEScreen&) {}

namespace {
// Calls `work`. An exception becomes a text in `error` and the result `failed`.
template <typename Result, typename Work>
Result guarded(char* error, size_t length, Result failed, Work work) {
  try {
    return work();
  } catch (const std::exception& e) {
    std::snprintf(error, length, "%s", e.what());
  } catch (...) {
    std::snprintf(error, length, "an unknown C++ exception");
  }
  return failed;
}
}  // namespace

extern "C" {

// A machine with a cartridge, before its first reset, or null. It repeats no action by itself. `mode` and `difficulty` are the game's own defaults if they are negative.
ALEInterface* potstill_ale_open(const char* rom, int32_t max_frames, int32_t mode, int32_t difficulty, char* error,
                                size_t length) {
  return guarded<ALEInterface*>(error, length, nullptr, [&] {
    Logger::setMode(Logger::Error);
    auto machine = std::make_unique<ALEInterface>();
    machine->setInt("random_seed", 0);
    machine->setFloat("repeat_action_probability", 0);
    machine->setInt("max_num_frames_per_episode", max_frames);
    machine->loadROM(rom);
    if (mode >= 0) machine->setMode(mode);
    if (difficulty >= 0) machine->setDifficulty(difficulty);
    return machine.release();
  });
}

void potstill_ale_close(ALEInterface* machine) { delete machine; }

// Writes the numbers of the actions, of which there are at most 18, and returns how many there are.
size_t potstill_ale_actions(ALEInterface* machine, bool full, int32_t* actions) {
  const ActionVect set = full ? machine->getLegalActionSet() : machine->getMinimalActionSet();
  for (size_t i = 0; i < set.size(); i++) actions[i] = set[i];
  return set.size();
}

void potstill_ale_reset(ALEInterface* machine) { machine->reset_game(); }

// Emulates a frame and returns the reward.
int32_t potstill_ale_act(ALEInterface* machine, int32_t action) { return machine->act(static_cast<Action>(action)); }

bool potstill_ale_terminated(ALEInterface* machine) { return machine->game_over(false); }
bool potstill_ale_truncated(ALEInterface* machine) { return machine->game_truncated(); }
int32_t potstill_ale_lives(ALEInterface* machine) { return machine->lives(); }

// The screen, as numbers of colors, row by row.
const uint8_t* potstill_ale_screen(ALEInterface* machine, size_t* height, size_t* width) {
  const ALEScreen& screen = machine->getScreen();
  *height = screen.height();
  *width = screen.width();
  return screen.getArray();
}

// The gray of each color, and its red, green and blue. Only even numbers are colors.
void potstill_ale_palette(ALEInterface* machine, uint8_t* gray, uint8_t* rgb) {
  auto& palette = machine->theOSystem->colourPalette();
  for (int color = 0; color < 256; color += 2) {
    uint8_t number = color;
    palette.applyPaletteGrayscale(gray + color, &number, 1);
    palette.applyPaletteRGB(rgb + 3 * color, &number, 1);
  }
}

// The 128 bytes of the console's memory.
void potstill_ale_memory(ALEInterface* machine, uint8_t* memory) {
  const ALERAM& ram = machine->getRAM();
  std::copy(ram.array(), ram.array() + ram.size(), memory);
}

// Gives the state of the console to `take`. The screen is not part of it.
bool potstill_ale_save(ALEInterface* machine, void (*take)(void*, const char*, size_t), void* to, char* error,
                       size_t length) {
  return guarded(error, length, false, [&] {
    const std::string state = machine->cloneState().serialize();
    take(to, state.data(), state.size());
    return true;
  });
}

bool potstill_ale_restore(ALEInterface* machine, const char* state, size_t size, char* error, size_t length) {
  return guarded(error, length, false, [&] {
    machine->restoreState(ALEState(std::string(state, size)));
    return true;
  });
}

}  // extern "C"
