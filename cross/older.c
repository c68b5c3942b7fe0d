/* Names that a C library has since 2.38 only. Debian 13's FAISS was compiled with that one's headers, which call the new names
 * wherever a program reads numbers; what they add, numbers in binary notation, it does not use. With these the program runs with
 * C libraries from before, too. Compiled with the standard of 2011, in which the names below are still the old ones. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int read = vsscanf(text, format, values);
  va_end(values);
  return read;
}
