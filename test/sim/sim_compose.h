/* Messages as applications send them: senders, recipients and content, of the dice. */
#ifndef TEST_SIM_SIM_COMPOSE_H
#define TEST_SIM_SIM_COMPOSE_H

struct sim_message;
void sim_compose(struct sim_message *message); /* its number is set */

#endif
