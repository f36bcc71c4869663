/*
 * worker.sql
 */
