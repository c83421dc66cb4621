/* Reports that came back to a sender, read as a mail program would: who failed, who waits. */
#ifndef TEST_SIM_SIM_REPORT_H
#define TEST_SIM_SIM_REPORT_H

#include "base/slice.h"

struct sim_message;
void sim_report_read(struct sim_message *message, struct slice reverse_path, struct slice content);

#endif
