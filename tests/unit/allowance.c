// SPDX-License-Identifier: MIT
#include "core/allowance.h"

#include <criterion/criterion.h>

#define SECOND_US 1000000u

static unsigned take_all(struct allowance *a, uint64_t now, unsigned most)
{
	unsigned n = 0;
	while (n < most && allowance_take(a, now, SECOND_US, 100))
		n++;
	return n;
}

Test(allowance, burst_and_then_one_in_an_interval)
{
	struct allowance a = { 0 };
	uint64_t now = 1000 * SECOND_US;
	cr_assert_eq(take_all(&a, now, 200), 100);
	cr_assert_eq(take_all(&a, now + SECOND_US - 1, 200), 0);
	cr_assert_eq(take_all(&a, now + SECOND_US, 200), 1);
	cr_assert_eq(take_all(&a, now + 11 * SECOND_US, 200), 10);
	cr_assert_eq(take_all(&a, now + 5000 * SECOND_US, 200), 100);
}

// A clock that counts from the start of the machine may be younger than the whole burst.
Test(allowance, whole_burst_on_a_machine_that_has_just_started)
{
	struct allowance a = { 0 };
	cr_assert_eq(take_all(&a, 3 * SECOND_US, 200), 100);
	cr_assert_eq(take_all(&a, 4 * SECOND_US, 200), 1);
	cr_assert_eq(take_all(&a, 7 * SECOND_US, 200), 3);
}
