package bundle

// TarHeader is for the header of a file that is too large for a test.
var TarHeader = tarHeader
