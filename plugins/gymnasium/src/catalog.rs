//! Environments that can be named without `gym/make-v0`: those of Gymnasium but for MuJoCo's, which `plugins/mujoco` runs by itself,
//! and those of MiniGrid. Whether they can be made is up to the user's Gymnasium.

/// An environment with an id of its own.
pub(crate) struct Entry {
    pub(crate) id: &'static str,
    /// What Gymnasium makes it from, with the module that registers it.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
}

/// Lists the environments, and exports them.
macro_rules! environments {
    ($($number:literal: $id:literal, $name:literal, $summary:literal;)*) => {
        pub(crate) const KNOWN: &[Entry] = &[$(Entry { id: $id, name: $name, summary: $summary }),*];
        potstill_sdk::export_batches!($(crate::Known<$number>,)* crate::Make);
    };
}

// If a name has several versions, the newest comes first and is what the name without a version means.
environments! {
    0: "gym/acrobot-v1", "Acrobot-v1", "Swing two links up past a line, with torque at the joint between them.";
    1: "gym/bipedal-walker-v3", "BipedalWalker-v3", "Walk on two legs over slightly uneven ground.";
    2: "gym/bipedal-walker-hardcore-v3", "BipedalWalkerHardcore-v3", "Walk on two legs over ladders, stumps and pitfalls.";
    3: "gym/blackjack-v1", "Blackjack-v1", "Play Blackjack against a dealer.";
    4: "gym/car-racing-v3", "CarRacing-v3", "Drive around a track, seen from above.";
    5: "gym/cart-pole-v1", "CartPole-v1", "Balance a pole on a cart, for 500 steps.";
    6: "gym/cart-pole-v0", "CartPole-v0", "Balance a pole on a cart, for 200 steps.";
    7: "gym/cliff-walking-v1", "CliffWalking-v1", "Walk along a cliff.";
    8: "gym/cliff-walking-slippery-v1", "CliffWalkingSlippery-v1", "Walk along a cliff, on slippery ground.";
    9: "gym/frozen-lake-v1", "FrozenLake-v1", "Cross a slippery lake of 4 × 4 fields with holes.";
    10: "gym/frozen-lake8x8-v1", "FrozenLake8x8-v1", "Cross a slippery lake of 8 × 8 fields with holes.";
    11: "gym/lunar-lander-v3", "LunarLander-v3", "Land on the moon, with three engines on or off.";
    12: "gym/lunar-lander-continuous-v3", "LunarLanderContinuous-v3", "Land on the moon, with throttles.";
    13: "gym/mountain-car-v0", "MountainCar-v0", "Rock an underpowered car up a hill.";
    14: "gym/mountain-car-continuous-v0", "MountainCarContinuous-v0", "Rock an underpowered car up a hill, with a force of your choice.";
    15: "gym/pendulum-v1", "Pendulum-v1", "Swing a pendulum up and hold it.";
    16: "gym/taxi-v3", "Taxi-v3", "Fetch passengers and take them where they want to go.";
    17: "gym/mini-grid-blocked-unlock-pickup-v0", "minigrid:MiniGrid-BlockedUnlockPickup-v0", "MiniGrid's BlockedUnlockPickup.";
    18: "gym/mini-grid-dist-shift1-v0", "minigrid:MiniGrid-DistShift1-v0", "MiniGrid's DistShift1.";
    19: "gym/mini-grid-dist-shift2-v0", "minigrid:MiniGrid-DistShift2-v0", "MiniGrid's DistShift2.";
    20: "gym/mini-grid-door-key-16x16-v0", "minigrid:MiniGrid-DoorKey-16x16-v0", "MiniGrid's DoorKey-16x16.";
    21: "gym/mini-grid-door-key-5x5-v0", "minigrid:MiniGrid-DoorKey-5x5-v0", "MiniGrid's DoorKey-5x5.";
    22: "gym/mini-grid-door-key-6x6-v0", "minigrid:MiniGrid-DoorKey-6x6-v0", "MiniGrid's DoorKey-6x6.";
    23: "gym/mini-grid-door-key-8x8-v0", "minigrid:MiniGrid-DoorKey-8x8-v0", "MiniGrid's DoorKey-8x8.";
    24: "gym/mini-grid-dynamic-obstacles-16x16-v0", "minigrid:MiniGrid-Dynamic-Obstacles-16x16-v0", "MiniGrid's Dynamic-Obstacles-16x16.";
    25: "gym/mini-grid-dynamic-obstacles-5x5-v0", "minigrid:MiniGrid-Dynamic-Obstacles-5x5-v0", "MiniGrid's Dynamic-Obstacles-5x5.";
    26: "gym/mini-grid-dynamic-obstacles-6x6-v0", "minigrid:MiniGrid-Dynamic-Obstacles-6x6-v0", "MiniGrid's Dynamic-Obstacles-6x6.";
    27: "gym/mini-grid-dynamic-obstacles-8x8-v0", "minigrid:MiniGrid-Dynamic-Obstacles-8x8-v0", "MiniGrid's Dynamic-Obstacles-8x8.";
    28: "gym/mini-grid-dynamic-obstacles-random-5x5-v0", "minigrid:MiniGrid-Dynamic-Obstacles-Random-5x5-v0", "MiniGrid's Dynamic-Obstacles-Random-5x5.";
    29: "gym/mini-grid-dynamic-obstacles-random-6x6-v0", "minigrid:MiniGrid-Dynamic-Obstacles-Random-6x6-v0", "MiniGrid's Dynamic-Obstacles-Random-6x6.";
    30: "gym/mini-grid-empty-16x16-v0", "minigrid:MiniGrid-Empty-16x16-v0", "MiniGrid's Empty-16x16.";
    31: "gym/mini-grid-empty-5x5-v0", "minigrid:MiniGrid-Empty-5x5-v0", "MiniGrid's Empty-5x5.";
    32: "gym/mini-grid-empty-6x6-v0", "minigrid:MiniGrid-Empty-6x6-v0", "MiniGrid's Empty-6x6.";
    33: "gym/mini-grid-empty-8x8-v0", "minigrid:MiniGrid-Empty-8x8-v0", "MiniGrid's Empty-8x8.";
    34: "gym/mini-grid-empty-random-5x5-v0", "minigrid:MiniGrid-Empty-Random-5x5-v0", "MiniGrid's Empty-Random-5x5.";
    35: "gym/mini-grid-empty-random-6x6-v0", "minigrid:MiniGrid-Empty-Random-6x6-v0", "MiniGrid's Empty-Random-6x6.";
    36: "gym/mini-grid-fetch-5x5-n2-v0", "minigrid:MiniGrid-Fetch-5x5-N2-v0", "MiniGrid's Fetch-5x5-N2.";
    37: "gym/mini-grid-fetch-6x6-n2-v0", "minigrid:MiniGrid-Fetch-6x6-N2-v0", "MiniGrid's Fetch-6x6-N2.";
    38: "gym/mini-grid-fetch-8x8-n3-v0", "minigrid:MiniGrid-Fetch-8x8-N3-v0", "MiniGrid's Fetch-8x8-N3.";
    39: "gym/mini-grid-four-rooms-v0", "minigrid:MiniGrid-FourRooms-v0", "MiniGrid's FourRooms.";
    40: "gym/mini-grid-go-to-door-5x5-v0", "minigrid:MiniGrid-GoToDoor-5x5-v0", "MiniGrid's GoToDoor-5x5.";
    41: "gym/mini-grid-go-to-door-6x6-v0", "minigrid:MiniGrid-GoToDoor-6x6-v0", "MiniGrid's GoToDoor-6x6.";
    42: "gym/mini-grid-go-to-door-8x8-v0", "minigrid:MiniGrid-GoToDoor-8x8-v0", "MiniGrid's GoToDoor-8x8.";
    43: "gym/mini-grid-go-to-object-6x6-n2-v0", "minigrid:MiniGrid-GoToObject-6x6-N2-v0", "MiniGrid's GoToObject-6x6-N2.";
    44: "gym/mini-grid-go-to-object-8x8-n2-v0", "minigrid:MiniGrid-GoToObject-8x8-N2-v0", "MiniGrid's GoToObject-8x8-N2.";
    45: "gym/mini-grid-key-corridor-s3-r1-v0", "minigrid:MiniGrid-KeyCorridorS3R1-v0", "MiniGrid's KeyCorridorS3R1.";
    46: "gym/mini-grid-key-corridor-s3-r2-v0", "minigrid:MiniGrid-KeyCorridorS3R2-v0", "MiniGrid's KeyCorridorS3R2.";
    47: "gym/mini-grid-key-corridor-s3-r3-v0", "minigrid:MiniGrid-KeyCorridorS3R3-v0", "MiniGrid's KeyCorridorS3R3.";
    48: "gym/mini-grid-key-corridor-s4-r3-v0", "minigrid:MiniGrid-KeyCorridorS4R3-v0", "MiniGrid's KeyCorridorS4R3.";
    49: "gym/mini-grid-key-corridor-s5-r3-v0", "minigrid:MiniGrid-KeyCorridorS5R3-v0", "MiniGrid's KeyCorridorS5R3.";
    50: "gym/mini-grid-key-corridor-s6-r3-v0", "minigrid:MiniGrid-KeyCorridorS6R3-v0", "MiniGrid's KeyCorridorS6R3.";
    51: "gym/mini-grid-lava-crossing-s11-n5-v0", "minigrid:MiniGrid-LavaCrossingS11N5-v0", "MiniGrid's LavaCrossingS11N5.";
    52: "gym/mini-grid-lava-crossing-s9-n1-v0", "minigrid:MiniGrid-LavaCrossingS9N1-v0", "MiniGrid's LavaCrossingS9N1.";
    53: "gym/mini-grid-lava-crossing-s9-n2-v0", "minigrid:MiniGrid-LavaCrossingS9N2-v0", "MiniGrid's LavaCrossingS9N2.";
    54: "gym/mini-grid-lava-crossing-s9-n3-v0", "minigrid:MiniGrid-LavaCrossingS9N3-v0", "MiniGrid's LavaCrossingS9N3.";
    55: "gym/mini-grid-lava-gap-s5-v0", "minigrid:MiniGrid-LavaGapS5-v0", "MiniGrid's LavaGapS5.";
    56: "gym/mini-grid-lava-gap-s6-v0", "minigrid:MiniGrid-LavaGapS6-v0", "MiniGrid's LavaGapS6.";
    57: "gym/mini-grid-lava-gap-s7-v0", "minigrid:MiniGrid-LavaGapS7-v0", "MiniGrid's LavaGapS7.";
    58: "gym/mini-grid-locked-room-v0", "minigrid:MiniGrid-LockedRoom-v0", "MiniGrid's LockedRoom.";
    59: "gym/mini-grid-memory-s11-v0", "minigrid:MiniGrid-MemoryS11-v0", "MiniGrid's MemoryS11.";
    60: "gym/mini-grid-memory-s13-v0", "minigrid:MiniGrid-MemoryS13-v0", "MiniGrid's MemoryS13.";
    61: "gym/mini-grid-memory-s13-random-v0", "minigrid:MiniGrid-MemoryS13Random-v0", "MiniGrid's MemoryS13Random.";
    62: "gym/mini-grid-memory-s17-random-v0", "minigrid:MiniGrid-MemoryS17Random-v0", "MiniGrid's MemoryS17Random.";
    63: "gym/mini-grid-memory-s7-v0", "minigrid:MiniGrid-MemoryS7-v0", "MiniGrid's MemoryS7.";
    64: "gym/mini-grid-memory-s9-v0", "minigrid:MiniGrid-MemoryS9-v0", "MiniGrid's MemoryS9.";
    65: "gym/mini-grid-multi-room-n2-s4-v0", "minigrid:MiniGrid-MultiRoom-N2-S4-v0", "MiniGrid's MultiRoom-N2-S4.";
    66: "gym/mini-grid-multi-room-n4-s5-v0", "minigrid:MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid's MultiRoom-N4-S5.";
    67: "gym/mini-grid-multi-room-n6-v0", "minigrid:MiniGrid-MultiRoom-N6-v0", "MiniGrid's MultiRoom-N6.";
    68: "gym/mini-grid-obstructed-maze-1-dl-v0", "minigrid:MiniGrid-ObstructedMaze-1Dl-v0", "MiniGrid's ObstructedMaze-1Dl.";
    69: "gym/mini-grid-obstructed-maze-1-dlh-v0", "minigrid:MiniGrid-ObstructedMaze-1Dlh-v0", "MiniGrid's ObstructedMaze-1Dlh.";
    70: "gym/mini-grid-obstructed-maze-1-dlhb-v0", "minigrid:MiniGrid-ObstructedMaze-1Dlhb-v0", "MiniGrid's ObstructedMaze-1Dlhb.";
    71: "gym/mini-grid-obstructed-maze-1-q-v1", "minigrid:MiniGrid-ObstructedMaze-1Q-v1", "MiniGrid's ObstructedMaze-1Q, version 1.";
    72: "gym/mini-grid-obstructed-maze-1-q-v0", "minigrid:MiniGrid-ObstructedMaze-1Q-v0", "MiniGrid's ObstructedMaze-1Q.";
    73: "gym/mini-grid-obstructed-maze-2-dl-v0", "minigrid:MiniGrid-ObstructedMaze-2Dl-v0", "MiniGrid's ObstructedMaze-2Dl.";
    74: "gym/mini-grid-obstructed-maze-2-dlh-v0", "minigrid:MiniGrid-ObstructedMaze-2Dlh-v0", "MiniGrid's ObstructedMaze-2Dlh.";
    75: "gym/mini-grid-obstructed-maze-2-dlhb-v1", "minigrid:MiniGrid-ObstructedMaze-2Dlhb-v1", "MiniGrid's ObstructedMaze-2Dlhb, version 1.";
    76: "gym/mini-grid-obstructed-maze-2-dlhb-v0", "minigrid:MiniGrid-ObstructedMaze-2Dlhb-v0", "MiniGrid's ObstructedMaze-2Dlhb.";
    77: "gym/mini-grid-obstructed-maze-2-q-v1", "minigrid:MiniGrid-ObstructedMaze-2Q-v1", "MiniGrid's ObstructedMaze-2Q, version 1.";
    78: "gym/mini-grid-obstructed-maze-2-q-v0", "minigrid:MiniGrid-ObstructedMaze-2Q-v0", "MiniGrid's ObstructedMaze-2Q.";
    79: "gym/mini-grid-obstructed-maze-full-v1", "minigrid:MiniGrid-ObstructedMaze-Full-v1", "MiniGrid's ObstructedMaze-Full, version 1.";
    80: "gym/mini-grid-obstructed-maze-full-v0", "minigrid:MiniGrid-ObstructedMaze-Full-v0", "MiniGrid's ObstructedMaze-Full.";
    81: "gym/mini-grid-playground-v0", "minigrid:MiniGrid-Playground-v0", "MiniGrid's Playground.";
    82: "gym/mini-grid-put-near-6x6-n2-v0", "minigrid:MiniGrid-PutNear-6x6-N2-v0", "MiniGrid's PutNear-6x6-N2.";
    83: "gym/mini-grid-put-near-8x8-n3-v0", "minigrid:MiniGrid-PutNear-8x8-N3-v0", "MiniGrid's PutNear-8x8-N3.";
    84: "gym/mini-grid-red-blue-doors-6x6-v0", "minigrid:MiniGrid-RedBlueDoors-6x6-v0", "MiniGrid's RedBlueDoors-6x6.";
    85: "gym/mini-grid-red-blue-doors-8x8-v0", "minigrid:MiniGrid-RedBlueDoors-8x8-v0", "MiniGrid's RedBlueDoors-8x8.";
    86: "gym/mini-grid-simple-crossing-s11-n5-v0", "minigrid:MiniGrid-SimpleCrossingS11N5-v0", "MiniGrid's SimpleCrossingS11N5.";
    87: "gym/mini-grid-simple-crossing-s9-n1-v0", "minigrid:MiniGrid-SimpleCrossingS9N1-v0", "MiniGrid's SimpleCrossingS9N1.";
    88: "gym/mini-grid-simple-crossing-s9-n2-v0", "minigrid:MiniGrid-SimpleCrossingS9N2-v0", "MiniGrid's SimpleCrossingS9N2.";
    89: "gym/mini-grid-simple-crossing-s9-n3-v0", "minigrid:MiniGrid-SimpleCrossingS9N3-v0", "MiniGrid's SimpleCrossingS9N3.";
    90: "gym/mini-grid-unlock-v0", "minigrid:MiniGrid-Unlock-v0", "MiniGrid's Unlock.";
    91: "gym/mini-grid-unlock-pickup-v0", "minigrid:MiniGrid-UnlockPickup-v0", "MiniGrid's UnlockPickup.";
    92: "gym/mini-grid-wfc-dungeon-maze-scaled-v0", "minigrid:MiniGrid-WFC-DungeonMazeScaled-v0", "MiniGrid's WFC-DungeonMazeScaled.";
    93: "gym/mini-grid-wfc-maze-simple-v0", "minigrid:MiniGrid-WFC-MazeSimple-v0", "MiniGrid's WFC-MazeSimple.";
    94: "gym/mini-grid-wfc-obstacles-angular-v0", "minigrid:MiniGrid-WFC-ObstaclesAngular-v0", "MiniGrid's WFC-ObstaclesAngular.";
    95: "gym/mini-grid-wfc-obstacles-blackdots-v0", "minigrid:MiniGrid-WFC-ObstaclesBlackdots-v0", "MiniGrid's WFC-ObstaclesBlackdots.";
    96: "gym/mini-grid-wfc-obstacles-hogs3-v0", "minigrid:MiniGrid-WFC-ObstaclesHogs3-v0", "MiniGrid's WFC-ObstaclesHogs3.";
    97: "gym/mini-grid-wfc-rooms-fabric-v0", "minigrid:MiniGrid-WFC-RoomsFabric-v0", "MiniGrid's WFC-RoomsFabric.";
}
