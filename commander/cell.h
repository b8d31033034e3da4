// Which commands are ours when there are several cells: those for devices that are in our cell, where they were last
// heard to come online, or else where they were enrolled. Nobody else reaches them, and only we reach who asked at our
// broker. A device that nobody knows is everybody's, so that the request is refused by whoever sees it first.
#pragma once

// device: an SQL expression; n: number of the parameter that is our cell, 0 for all.
#define CELL_HAS(device, n)                                                                       \
	"($" n "::integer = 0 or coalesce((select here.cell from device_state here where here.device = " device \
	"), (select home.cell from device home where home.device = " device "), $" n ") = $" n ")"
