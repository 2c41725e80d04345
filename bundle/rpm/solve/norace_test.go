//go:build !race

package solve_test

const raceDetected = false
