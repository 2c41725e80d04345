//go:build race

package solve_test

// raceDetected says that everything takes ten times as long.
const raceDetected = true
