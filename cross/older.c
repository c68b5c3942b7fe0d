/* What Debian 12's C++ library, which is in the programs, asks of the C library 2.36 and Ubuntu 22.04's 2.35 (Jetson) has not: numbers that
   nobody can foresee, for std::random_device. cross/build lays it into that library; the kernel is asked as 2.36 asks it. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

uint32_t arc4random(void)
{
    uint32_t number;
    if (getentropy(&number, sizeof number) != 0)
        abort();
    return number;
}
